"""The licence of weights, put together from those of the tasks and of the checkpoint that training began with."""

from __future__ import annotations

from collections.abc import Sequence

from xharness.cards import prose as card_prose
from xharness.cards.model import Base, Terms
from xharness.cards.prose import BASE, GIVEN, TASKS, Licence, Prose, licences


def terms(prose: Prose, tasks: Sequence[str], base: Base | None, given: Licence | None) -> Terms | None:
    """Return the licence of the weights: the strictest of all that is asked for; None where nobody says one.

    Args:
        prose: of the checkpoint.
        tasks: the training sets that were really in it.
        base: what training began with; None where that is not known.
        given: by the publisher, in place of all this.
    """
    if given is not None and given.id not in (BASE, TASKS, GIVEN):
        return Terms(given.id, given.name, given.link, (given.why,))
    if base is None or (given is None and prose.licence.id == GIVEN):
        return None
    asked = [given or prose.licence]
    if asked[0].id == TASKS:
        asked += [card_prose.load(task).licence for task in tasks if task in card_prose.names()]
    own = list({licence.id: licence for licence in asked if licence.id not in (BASE, TASKS, GIVEN)}.values())
    order = list(licences())
    if not own or order.index(base.licence) > order.index(max(own, key=lambda each: order.index(each.id)).id):
        why = asked[0].why if asked[0].id == BASE else "No task asks for more than the base; its licence is kept."
        return Terms(base.licence, None, None, (why,))
    own.sort(key=lambda licence: order.index(licence.id))
    strictest, others = own[-1], own[:-1]
    name = strictest.name
    if name is not None and others:
        # Whoever reads the name alone must not miss the rest.
        name = "-and-".join([*(licence.id for licence in others), name])
    several = (asked[0].why,) if asked[0].id == TASKS else ()
    return Terms(strictest.id, name, strictest.link, (*several, *(licence.why for licence in reversed(own))))
