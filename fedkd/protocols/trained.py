"""What protocols have in common whose student is trained by gradient."""

from fedkd.data.interactions import Interactions
from fedkd.models.base import Recommender
from fedkd.models.spec import ModelSpec
from fedkd.protocols.base import GlobalStudent, State
from fedkd.protocols.central import CentralTraining, train_centrally
from fedkd.protocols.optimise import student_of
from fedkd.streams import stream


class TrainedStudent(GlobalStudent):
    """A protocol with one kind of student, global and kept in the state, and no larger teacher.

    Attributes
    ----------
    model : ModelSpec
        The student.
    central : CentralTraining
        Training of the centralised comparison.
    """

    model: ModelSpec = ModelSpec(family="autoencoder")
    central: CentralTraining = CentralTraining()

    def teacher(self, state: State) -> Recommender | None:
        """Return None: there is no large model."""
        del state
        return None

    def student(self, state: State) -> Recommender | None:
        """Return the global student."""
        return self.global_student(state)

    def global_student(self, state: State) -> Recommender:
        """Return the student that the state holds."""
        return student_of(state, self.blank_student(state.setup.public.num_items))

    def centralised(self, train: Interactions, seed: int) -> Recommender | None:
        """Return the same student trained in one place."""
        blank = self.model.build(train.num_items, seed)
        return train_centrally(blank, train.histories, self.central, stream(seed, "central"))

    def blank_student(self, num_items: int) -> Recommender:
        """Return a student of the right shape."""
        return self.model.build(num_items, seed=0)
