"""Derive the license of the weights."""

from __future__ import annotations

from collections.abc import Sequence

from xharness.publishing.card import prose as card_prose
from xharness.publishing.card.content import Base, Terms
from xharness.publishing.card.prose import BASE, GIVEN, TASKS, Licence, Prose, licences


def derive_terms(prose: Prose, tasks: Sequence[str], base: Base | None, given: Licence | None) -> Terms | None:
    """Return the license of the weights: the strictest of all that apply; None if it is not known.

    Args:
        prose: prose of the checkpoint.
        tasks: training sets that were actually used.
        base: the base model; None if not known.
        given: license given by the publisher, which overrides all others.
    """
    order = list(licences())
    if given is not None and given.id not in (BASE, TASKS, GIVEN):
        # The publisher decides, but the card still says which license would apply otherwise.
        known = derive_terms(prose, tasks, base, None)
        reasons = [given.why]
        if known is not None and order.index(given.id) < order.index(known.id):
            reasons.append(f"Without the publisher's choice it would be {_name(known)}: {' '.join(known.why)}")
        return Terms(given.id, given.name, given.link, tuple(reasons))
    if prose.licence.id == TASKS and given is None and not all(task in card_prose.names() for task in tasks):
        return None
    if base is None or (given is None and prose.licence.id == GIVEN):
        return None
    applicable = [given or prose.licence]
    if applicable[0].id == TASKS:
        applicable += [card_prose.load(task).licence for task in tasks if task in card_prose.names()]
    own = list({licence.id: licence for licence in applicable if licence.id not in (BASE, TASKS, GIVEN)}.values())
    if not own or order.index(base.licence) > order.index(max(own, key=lambda each: order.index(each.id)).id):
        why = (
            applicable[0].why
            if applicable[0].id == BASE
            else "No task is stricter than the base model, so its license is kept."
        )
        return Terms(base.licence, None, None, (why,))
    own.sort(key=lambda licence: order.index(licence.id))
    strictest, others = own[-1], own[:-1]
    name = strictest.name
    # The name alone must mention the other licenses, and that the base model is for non-commercial use only.
    also = [*([base.licence] if "-nc" in base.licence else []), *(licence.id for licence in others)]
    if name is not None and also:
        name = "-and-".join([*dict.fromkeys(also), name])
    reasons = [applicable[0].why] if applicable[0].id == TASKS else []
    reasons += [licence.why for licence in reversed(own)]
    if base.licence != strictest.id:
        reasons.append(f"The license of the base model ({licences()[base.licence]}) applies as well.")
    return Terms(strictest.id, name, strictest.link, tuple(reasons))


def _name(known: Terms) -> str:
    return known.name or licences()[known.id]
