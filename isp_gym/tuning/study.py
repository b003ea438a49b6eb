"""The search for one agent's options on one problem: an Optuna study that is kept, and goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from isp_gym.errors import UserError
from isp_gym.tuning.space import Choice, Int, Parameter
from isp_gym.tuning.subject import Subject

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)  # a failed one is pruned, so that the search keeps away from there


class Study:
    """A sequential search by TPE (Bergstra et al. 2011), each trial a function of the seed and the trials before it.

    Args:
        subject: What is tuned.
        storage: Of Optuna; a study of the subject's name in it goes on.
        seed: Of the sampler.

    Attributes:
        subject: As given.
        fault: Why the search cannot go on, if it cannot.

    Raises:
        UserError: The storage holds a study of that name whose trials were made otherwise.
    """

    def __init__(self, subject: Subject, storage: optuna.storages.BaseStorage, seed: int) -> None:
        self.subject, self.seed, self.fault = subject, seed, ""
        self._study = optuna.create_study(
            storage=storage, study_name=subject.name, direction="maximize", load_if_exists=True
        )
        self._distributions = {name: _distribution(parameter) for name, parameter in subject.space.items()}
        self._asked: optuna.Trial
        self._check_identity({**subject.identity(), "--seed": seed})
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)  # it was cut off, and is repeated

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials that count, in their order."""
        return self._study.get_trials(deepcopy=False, states=_DONE)

    def ask(self) -> dict[str, Any]:
        """Return the values of the next trial; none for the first, which takes the agent as it stands."""
        number = len(self.done)
        # Seeded anew each time: an interrupted search then goes on as if it had never been interrupted.
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        if number:
            trial = self._asked = self._study.ask(self._distributions)
            return {name: _decoded(self.subject.space[name], value) for name, value in trial.params.items()}
        known = {name: _encoded(value) for name, value in self.subject.defaults().items()}
        if not self._study.get_trials(states=(TrialState.WAITING,)):
            self._study.enqueue_trial(known)
        self._asked = self._study.ask({name: self._distributions[name] for name in known})
        return {}

    def tell(self, values: Mapping[str, Any], results: Sequence[Mapping[str, Any]], error: str, spent: int) -> None:
        """Note what came of the trial that was asked for.

        Args:
            values: Of its tuned options.
            results: Of each seed, see :func:`isp_gym.tuning.trial.finished_trial`.
            error: Why it failed, if it did.
            spent: Its task evaluations.
        """
        number = len(self.done)
        for key, note in (("values", values), ("seeds", results), ("error", error), ("task_evaluations", spent)):
            self._asked.set_user_attr(key, note)
        if error and not number:
            self._study.tell(self._asked, state=TrialState.FAIL)
            self.fault = error
        elif error:
            self._study.tell(self._asked, state=TrialState.PRUNED)
        else:
            self._study.tell(self._asked, float(np.mean([result["score"] for result in results])))

    def rows(self) -> list[dict[str, Any]]:
        """Return the trials that count as plain values, as in ``trials.json``."""
        return [
            {
                "problem": self.subject.problem.name,
                "agent": self.subject.agent,
                "trial": number,
                "values": trial.user_attrs["values"] if number else self.subject.defaults(),
                "metric": next((result["metric"] for result in trial.user_attrs["seeds"]), None),
                "score": trial.value if trial.state == TrialState.COMPLETE else None,
                "seeds": trial.user_attrs["seeds"],
                "task_evaluations": trial.user_attrs["task_evaluations"],
                "error": trial.user_attrs["error"],
            }
            for number, trial in enumerate(self.done)
        ]

    def _check_identity(self, identity: dict[str, Any]) -> None:
        earlier = self._study.user_attrs.get("identity")
        if earlier is None:
            self._study.set_user_attr("identity", identity)
            return
        for key in {**earlier, **identity}:
            if earlier.get(key) != identity.get(key):
                was, now = earlier.get(key), identity.get(key)
                raise UserError(
                    f"the study of '{self.subject.agent}' was made with {key}={was}, not {now}; "
                    "choose another --out, for its trials cannot be compared"
                )


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution([_encoded(value) for value in parameter.values])
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _encoded(value: Any) -> Any:
    """A value as Optuna takes it: containers as JSON."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _decoded(parameter: Parameter, value: Any) -> Any:
    if not isinstance(parameter, Choice):
        return value
    return next(own for own in parameter.values if _encoded(own) == value and type(_encoded(own)) is type(value))
