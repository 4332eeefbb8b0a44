"""The loss of a student, one value per example: training in one place and the cohort engine call the same function.

A batch holds, by name:

- ``shown``: the histories that the student sees, int64 of shape [batch, length], padded on the left;
- ``places`` and ``seen``, where the examples are parts of these histories: the columns of each part's last item, shape
  [histories, parts], and the parts themselves, shape [batch, length];
- ``teacher``: the teacher's logits for them, shape [batch, items];
- ``better`` and ``worse``, where pairs have a weight: items of equal popularity, shape [batch, groups, pairs];
- ``features``, where they are compared: the teacher's, shape [batch, positions, features];
- ``whole``, where hard labels have a weight: the items that the users chose, padded like ``shown``;
- ``labelled``, where hard labels are those of other histories than ``shown``: what the student sees of these.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from fedkd.distillation.features import Projection
from fedkd.distillation.options import DistillationOptions
from fedkd.losses.features import OF_ANY_WIDTH, feature_loss
from fedkd.losses.objectives import LossWeights, distillation_loss, optimisation_loss, student_loss
from fedkd.losses.popularity_groups import group_pairs_loss
from fedkd.losses.soft_labels import soft_label_loss
from fedkd.models.base import Recommender, multi_hot, padded_histories
from fedkd.ragged import Ragged

Outputs = tuple[Tensor, Tensor | None]
"""A student's scores, shape [batch, items], and its features in the teacher's width, if they are compared."""


class ObservedStudent(nn.Module):
    """A student with its features beside its scores; an adapter brings them to the teacher's width.

    Parameters
    ----------
    student : Recommender
        The student.
    options : DistillationOptions
        The layer, and whether its positions are compared.
    adapter : Projection, optional
        Trained with the student.
    """

    def __init__(self, student: Recommender, options: DistillationOptions, adapter: Projection | None = None) -> None:
        super().__init__()
        self.student, self.adapter, self.options = student, adapter, options

    def forward(self, history: Tensor, places: Tensor | None = None) -> Outputs:
        """Return scores and features of histories, or the scores of their parts alone."""
        if places is not None:
            return self.student.scores_after(history, places).flatten(0, 1), None
        scores = self.student(history)
        if not self.options.compares_features:
            return scores, None
        features = layer_features(self.student, history, self.options)
        return scores, features if self.adapter is None else self.adapter(features)


def observed(student: Recommender, options: DistillationOptions, features: int | None, seed: int) -> ObservedStudent:
    """Return a student with an adapter to a teacher's features, where the feature loss needs one.

    Parameters
    ----------
    student : Recommender
        The student.
    options : DistillationOptions
        The feature loss and its layer.
    features : int, optional
        Width of the teacher's features, if there are some.
    seed : int
        Seed of the adapter's first weights.
    """
    if features is None or feature_loss(options.feature_loss) in OF_ANY_WIDTH:
        return ObservedStudent(student, options)
    blank = padded_histories(Ragged.from_rows([[]], "int32"), student.num_items)
    return ObservedStudent(
        student, options, Projection(layer_features(student, blank, options).shape[-1], features, seed)
    )


def layer_features(model: Recommender, history: Tensor, options: DistillationOptions) -> Tensor:
    """Return a model's features that are compared, shape [batch, positions, features]."""
    if options.positions:
        return model.positions(history, options.layer)
    return model.features(history, options.layer)


def example_losses(
    student: Callable[..., Outputs],
    batch: Mapping[str, Tensor],
    options: DistillationOptions,
    weights: LossWeights,
) -> Tensor:
    """Return ``L_dist + hard * L_opt`` of every example, shape [batch].

    Parameters
    ----------
    student : callable
        An `ObservedStudent`, or a functional call of one.
    batch : mapping of str to Tensor
        See the head of this file.
    options : DistillationOptions
        The losses.
    weights : LossWeights
        Their weights in this step.
    """
    scores, ours = student(*(batch[name] for name in ("shown", "places") if name in batch))
    seen = batch.get("seen", batch["shown"])
    counted = multi_hot(seen, scores.shape[-1]) == 0 if options.unseen_only else None
    compare = soft_label_loss(options.soft_label_loss)
    soft = compare(scores, batch["teacher"], options.temperature, counted, options.top)
    feature = None if ours is None else _feature_losses(ours, batch["features"], options)
    pairs = group_pairs_loss(scores, batch["better"], batch["worse"]) if "better" in batch else None
    loss = distillation_loss(soft, feature, weights, pairs)
    if weights.hard == 0:
        return loss
    guessed = student(batch["labelled"])[0] if "labelled" in batch else scores
    return student_loss(loss, optimisation_loss(guessed, multi_hot(batch["whole"], scores.shape[-1])), weights)


def _feature_losses(ours: Tensor, theirs: Tensor, options: DistillationOptions) -> Tensor:
    """Return the feature loss of every example over the most recent positions that both have."""
    last = min(ours.shape[-2], theirs.shape[-2])
    return feature_loss(options.feature_loss)(ours[..., -last:, :], theirs[..., -last:, :])
