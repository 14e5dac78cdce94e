"""Derive the license of the weights."""

from __future__ import annotations

from collections.abc import Sequence

from xharness.publishing.card import prose as card_prose
from xharness.publishing.card.content import Base, Terms
from xharness.publishing.card.prose import BASE, GIVEN, TASKS, Licence, Prose, licences


def terms(prose: Prose, tasks: Sequence[str], base: Base | None, given: Licence | None) -> Terms | None:
    """Return the licence of the weights: the strictest of all that is asked for; None where it is not known.

    Args:
        prose: of the checkpoint.
        tasks: the training sets that were really in it.
        base: what training began with; None where that is not known.
        given: by the publisher, in place of all this.
    """
    order = list(licences())
    if given is not None and given.id not in (BASE, TASKS, GIVEN):
        # Whoever publishes decides; what is known against it is said all the same.
        known = terms(prose, tasks, base, None)
        told = [given.why]
        if known is not None and order.index(given.id) < order.index(known.id):
            told.append(f"Without this word of its publisher it would be {_name(known)}: {' '.join(known.why)}")
        return Terms(given.id, given.name, given.link, tuple(told))
    if prose.licence.id == TASKS and given is None and not all(task in card_prose.names() for task in tasks):
        return None
    if base is None or (given is None and prose.licence.id == GIVEN):
        return None
    asked = [given or prose.licence]
    if asked[0].id == TASKS:
        asked += [card_prose.load(task).licence for task in tasks if task in card_prose.names()]
    own = list({licence.id: licence for licence in asked if licence.id not in (BASE, TASKS, GIVEN)}.values())
    if not own or order.index(base.licence) > order.index(max(own, key=lambda each: order.index(each.id)).id):
        why = asked[0].why if asked[0].id == BASE else "No task asks for more than the base; its licence is kept."
        return Terms(base.licence, None, None, (why,))
    own.sort(key=lambda licence: order.index(licence.id))
    strictest, others = own[-1], own[:-1]
    name = strictest.name
    # Whoever reads the name alone must not miss the rest, nor that the base is not for everybody's use.
    also = [*([base.licence] if "-nc" in base.licence else []), *(licence.id for licence in others)]
    if name is not None and also:
        name = "-and-".join([*dict.fromkeys(also), name])
    reasons = [asked[0].why] if asked[0].id == TASKS else []
    reasons += [licence.why for licence in reversed(own)]
    if base.licence != strictest.id:
        reasons.append(f"The terms of the encoder that training began with ({licences()[base.licence]}) hold as well.")
    return Terms(strictest.id, name, strictest.link, tuple(reasons))


def _name(known: Terms) -> str:
    return known.name or licences()[known.id]
