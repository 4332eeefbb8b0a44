"""The one rule that chooses the question of residual distillation, from public data and the upload budget.

1. Under protection by noise: bounded next-item statistics where rule 3 finds that order pays, otherwise a small block
   of the Gram matrix, because few numbers survive noise.
2. Sizes that the configuration gives, or histories as references: scores on references, as configured.
3. The run's split holds out what came last, and on the public users' own last items the next-item statistic beats the
   plain one beyond doubt: next-item statistics, on a list or, where the budget allows it, as a whole. They are those
   of sessions where there are times, and these in turn beat those of whole histories there.
4. The catalogue is too large for arrays of items x items, or a half of the public users shows more of the other half's
   co-occurrences on a list of pairs than on references of the same size, as in catalogues of many niches: pairs.
5. Scores on references otherwise, and where there are too few public users to tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, ease_teacher, is_dense
from fedkd.distillation.likely_pairs import likely_pairs, symmetric
from fedkd.distillation.pair_models import PairSums, pair_teacher
from fedkd.distillation.residual import item_reference, nystroem, ridge, sizes_for_budget
from fedkd.messages.types import Reference
from fedkd.models.base import Recommender, score
from fedkd.protocols.base import Setup
from fedkd.protocols.residual.pair_questions import EVERYTHING, CoOccurrenceQuestion, NextItemQuestion, SessionQuestion
from fedkd.protocols.residual.parameters import ResidualParameters
from fedkd.protocols.residual.protected_questions import BlockQuestion, ProtectedNextItemQuestion
from fedkd.protocols.residual.questions import Question, ScoresQuestion

Positions = NDArray[np.int64]
Learner = Callable[[Interactions, ResidualParameters], Recommender]

QUESTIONS: Mapping[int, type[Question]] = {
    kind.code: kind
    for kind in (
        ScoresQuestion,
        BlockQuestion,
        NextItemQuestion,
        CoOccurrenceQuestion,
        ProtectedNextItemQuestion,
        SessionQuestion,
    )
}
"""All questions by their codes."""

FEWEST = 50
"""Public users below this number tell nothing."""

HEAD = 1024
"""Most popular items on which statistics are compared; the others say little, and cost much."""

DOUBT = 2.0
"""Standard errors by which one statistic must beat another."""


def chosen_question(setup: Setup, parameters: ResidualParameters) -> type[Question]:
    """Return the question of a run, by the rule that this file states."""
    if setup.answer_budget is not None:
        return ProtectedNextItemQuestion if order_tells(setup, parameters) else BlockQuestion
    if parameters.references or parameters.reference_kind == "histories" or setup.public.num_users < FEWEST:
        return ScoresQuestion
    if order_tells(setup, parameters):
        return SessionQuestion if sessions_pay(setup.public, parameters) else NextItemQuestion
    return CoOccurrenceQuestion if pairs_pay(setup, parameters) else ScoresQuestion


def order_tells(setup: Setup, parameters: ResidualParameters) -> bool:
    """Say whether the run measures what comes next, and enough public users show that order says something of it."""
    return setup.ordered and setup.public.num_users >= FEWEST and order_pays(setup.public, parameters)


def order_pays(public: Interactions, parameters: ResidualParameters) -> bool:
    """Say whether next-item statistics rank public users' last items better than the plain Gram matrix does."""
    return _beats(next_item, plain, public, parameters)


def sessions_pay(public: Interactions, parameters: ResidualParameters) -> bool:
    """Say whether there are times, and next-item statistics of sessions rank better than those of whole histories.

    The histories that are ranked for are whole, because a served history has no times.
    """
    return public.times is not None and _beats(next_in_session, next_item, public, parameters)


def _beats(first: Learner, second: Learner, public: Interactions, parameters: ResidualParameters) -> bool:
    """Say whether a model of the public users ranks their last items better than another, beyond doubt."""
    users, wanted = _last_items(public)
    if users.num_users < FEWEST:
        return False
    gain = _ranks(first(users, parameters), users, wanted) - _ranks(second(users, parameters), users, wanted)
    return bool(gain.mean() > DOUBT * gain.std() / len(gain) ** 0.5)


def _last_items(public: Interactions) -> tuple[Interactions, NDArray[np.int32]]:
    """Return what public users had of the most popular items before the last one of these, and that one."""
    head = public.most_popular()[:HEAD]
    place = np.full(public.num_items, -1, np.int32)
    place[head] = np.arange(len(head))
    known = public.where(place[public.histories.values] >= 0)
    known = known.take(np.flatnonzero(known.histories.lengths > 2))
    items, last = place[known.histories.values], np.zeros(len(known), bool)
    last[known.histories.indptr[1:] - 1] = True
    renamed = replace(known.histories, values=items)
    return replace(known, histories=renamed, catalogue=Catalogue.numbered(len(head))).where(~last), items[last]


def next_item(users: Interactions, parameters: ResidualParameters) -> Recommender:
    """Return the teacher of the next-item statistic of some users."""
    return _teacher(NextItemQuestion(parameters), users)


def next_in_session(users: Interactions, parameters: ResidualParameters) -> Recommender:
    """Return the teacher of the next-item statistic of some users' sessions."""
    return _teacher(SessionQuestion(parameters), users)


def _teacher(question: NextItemQuestion, users: Interactions) -> Recommender:
    sums = PairSums(question.statistic.layout(users.num_items), question.known(users))
    return pair_teacher(sums, question.parameters.regularisation, question.rates)


def plain(users: Interactions, parameters: ResidualParameters) -> Recommender:
    """Return EASE of some users."""
    weights = parameters.weights
    roots = np.sqrt(weights.of(users.histories.lengths))[:, None]
    gram = Gram(np.asarray(users.matrix(np.float64).multiply(roots).todense()))
    return ease_teacher(gram, ridge(parameters.regularisation, users, weights))


def _ranks(model: Recommender, users: Interactions, wanted: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the reciprocal rank of every user's wanted item among those not seen, behind its equals."""
    scores = score(model, users.histories)
    scores[users.histories.row_index, users.histories.values] = -np.inf
    own = scores[np.arange(len(wanted)), wanted]
    return np.asarray(1.0 / (scores >= own[:, None]).sum(axis=1))


def pairs_pay(setup: Setup, parameters: ResidualParameters) -> bool:
    """Say whether a list of pairs shows more of what other users have together than references do.

    Both are chosen from the first half of the public users, and judged by the second. Where no array of items x items
    can be made, pairs pay always: their models are sparse, and take memory and time in proportion to what is asked for.
    """
    public, how = setup.public, parameters
    if not is_dense(public.num_items):
        return True
    sizes = sizes_for_budget(public.num_items, setup.num_private_users, how.levels, how.upload_budget_bytes)
    if sizes[1] == public.num_items:
        return sizes[0] * sizes[1] > EVERYTHING
    first, second = (public.take(np.arange(half, public.num_users, 2)) for half in (0, 1))
    together = symmetric(_pairs(second, how))
    rows, columns = _listed(first, sizes[0] * sizes[1], how)
    factor = _completed(together, item_reference(first.most_popular(), *sizes))
    return 2 * float(np.square(together[rows, columns]).sum()) > _shown(together, factor)


def _pairs(users: Interactions, parameters: ResidualParameters) -> sparse.csr_array:
    return CoOccurrenceQuestion(parameters).known(users)


def _listed(users: Interactions, count: int, parameters: ResidualParameters) -> tuple[Positions, Positions]:
    """Return the pairs of different items on the list that users make likely."""
    layout = CoOccurrenceQuestion(parameters).statistic.layout(users.num_items)
    columns = likely_pairs(_pairs(users, parameters), layout, count).columns
    apart = columns.row_index != columns.values
    return columns.row_index[apart], columns.values[apart].astype(np.int64)


def _completed(together: sparse.csr_array, reference: Reference) -> NDArray[np.float64]:
    """Return the factor of the matrix that the users' scores on references would give."""
    probes = reference.histories.matrix(together.shape[1], np.float64)
    answers = np.asarray((probes @ together).toarray()[:, reference.panel])
    return nystroem(answers, probes[:, reference.panel], reference.panel, together.shape[1])


def _shown(together: sparse.csr_array, factor: NDArray[np.float64]) -> float:
    """Return how much of the squares off the diagonal ``F^T F`` shows: all of them, less its errors' squares."""
    alike, own, inner = factor * (factor @ together), np.square(factor).sum(axis=0), factor @ factor.T
    off = alike.sum() - own @ together.diagonal()
    return float(2 * off - (np.square(inner).sum() - np.square(own).sum()))
