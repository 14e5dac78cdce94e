"""Steps and tokens of training, tuning and evaluation, estimated from specs and recipes alone.

Tokens are real ones: with special tokens, without padding. They are estimated from mean characters, so the true number,
which every training record and result has, differs somewhat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xharness.tasks.dataset_spec import CandidateSpec, DataSpec
from xharness.tasks.recipes import Recipe, Settings
from xharness.tasks.registry import load_training, parts_of
from xharness.tasks.selection import CHARACTERS_PER_TOKEN, Selection, choose_languages
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import MixtureSpec, TaskSpec, TrainingSpec
from xharness.training import sampler

# Share of a multiple-choice example's characters that come before every choice: between 0.3 and 0.7 in the five sets
# that were measured (HellaSwag, COPA, CommonsenseQA, Social IQa, Cosmos QA).
_PROMPT_SHARE = 0.6
# `<s> a </s></s> b </s>` and `<s> a </s>`.
_AROUND_A_PAIR, _AROUND_A_TEXT = 4, 2
_VECTOR_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Rows:
    """The token rows of an example, on average.

    Attributes:
        number: rows per example.
        length: tokens per row.
    """

    number: int
    length: float

    @property
    def tokens(self) -> float:
        """Tokens of an example."""
        return self.number * self.length


@dataclass(frozen=True)
class Part:
    """One training set of a run.

    Attributes:
        task: name.
        examples: number of examples, as far as the specs give it; 0 where they do not.
        examples_known: whether the specs give the number of examples.
        sizes_known: whether they also give the size of the development data.
        rows: of an example.
        settings: of the recipe.
        share: of the run's steps.
        steps: of the run on this training set.
        tokens: of those steps.
        dev_tokens: tokens of all evaluations on development data.
    """

    task: str
    examples: int
    examples_known: bool
    sizes_known: bool
    rows: Rows
    settings: Settings
    share: float
    steps: float
    tokens: float
    dev_tokens: float


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: of the run.
        parts: its training sets.
        steps: optimizer steps at most; early stopping may end it sooner.
        targets: the targets that its checkpoint is for; () for an intermediate one.
        after: the run whose checkpoint it starts from; None: the base.
    """

    name: str
    parts: tuple[Part, ...]
    steps: int
    targets: tuple[str, ...] = ()
    after: str | None = None

    @property
    def tokens(self) -> float:
        """Tokens that are trained on."""
        return sum(part.tokens for part in self.parts)

    @property
    def length(self) -> float:
        """Mean over tokens (not over rows) of the length of their row, which the cost of attention depends on."""
        weighted = sum(part.tokens * part.rows.length for part in self.parts)
        return weighted / self.tokens if self.tokens else 0.0

    @property
    def sizes_known(self) -> bool:
        """Whether the sizes of all training sets are known; otherwise all figures are lower bounds."""
        return all(part.sizes_known for part in self.parts)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one target.

    Attributes:
        target: name.
        languages: number of languages.
        examples: number of examples, as far as the specs give it.
        examples_known: whether the specs give the number of examples.
        tokens: of examples and candidates.
        candidate_tokens: of candidates.
        length: mean over tokens of the length of their row.
        vectors: bytes of its embeddings on disk, per dimension of the encoder.
        sizes_known: whether the specs give all sizes, with that of the candidates; otherwise all figures are lower
            bounds.
        tuned: whether it is scored once per seed of tuning.
    """

    target: str
    languages: int
    examples: int
    examples_known: bool
    tokens: float
    candidate_tokens: float
    length: float
    vectors: int
    sizes_known: bool
    tuned: bool


def rows(spec: DataSpec, max_length: int) -> Rows:
    """Return the rows of an example, truncated to ``max_length``.

    Further windows of long contexts (QA) and further pieces of long sentences (tagging) are not counted.
    """
    texts = spec.mean_characters / CHARACTERS_PER_TOKEN
    number = 1
    around = _AROUND_A_PAIR
    match spec.kind:
        case "multiple_choice":
            number = max(2, len(spec.labels))
            texts = texts * (_PROMPT_SHARE + (1 - _PROMPT_SHARE) / number)
        case "retrieval":
            number, texts, around = 2, texts / 2, _AROUND_A_TEXT
        case "tagging" | "mining" | "ranking":
            around = _AROUND_A_TEXT
    return Rows(number, min(texts + around, max_length))


def count_examples(spec: TrainingSpec, split: Split = "train") -> tuple[int, bool]:
    """Return the number of examples of a training set as far as the specs give it, and whether they give all of it."""
    counts = [part.expected_count(c, split) for part in parts_of(spec) for c in part.default_languages]
    return sum(count or 0 for count in counts), None not in counts


def training_run(
    name: str,
    specs: Sequence[TrainingSpec],
    recipe: Recipe,
    *,
    cap: int | None = None,
    temperature: float = 1.0,
    targets: Sequence[str] = (),
    given: Mapping[str, object] | None = None,
) -> Run:
    """Return the run that trains one encoder on one or several training sets.

    Args:
        name: of the run.
        specs: the training sets.
        recipe: gives batch sizes, epochs and lengths.
        cap: of several training sets: examples of one that count for its share of the steps.
        temperature: of the mixture.
        targets: what the checkpoint is for.
        given: settings that replace those of the recipe.
    """
    settings = {spec.name: recipe.settings(spec, **(given or {})) for spec in specs}
    sizes = {spec.name: count_examples(spec) for spec in specs}
    known = {task: size for task, (size, _) in sizes.items() if size}
    if cap is not None and len(specs) > 1:
        known = {task: min(size, cap) for task, size in known.items()}
    steps, shares = _schedule(known, settings, temperature)
    parts = []
    for spec in specs:
        own, (size, known_size) = settings[spec.name], sizes[spec.name]
        example = rows(spec, own.max_length)
        share = shares.get(spec.name, 0.0)
        own_steps = share * steps
        # The last batch of a single task is smaller than the others; in a mixture batches are always full.
        examples = size * own.epochs if len(specs) == 1 else own_steps * own.batch_size
        dev_tokens, known_dev_size = _dev_tokens(spec, own, steps, example.tokens)
        parts.append(
            Part(
                task=spec.name,
                examples=size,
                examples_known=known_size,
                sizes_known=known_size and known_dev_size,
                rows=example,
                settings=own,
                share=share,
                steps=own_steps,
                tokens=examples * example.tokens,
                dev_tokens=dev_tokens,
            )
        )
    return Run(name, tuple(parts), steps, tuple(targets), specs[0].after if len(specs) == 1 and targets else None)


def _schedule(
    sizes: Mapping[str, int], settings: Mapping[str, Settings], temperature: float
) -> tuple[int, dict[str, float]]:
    """Return the steps of a run on training sets of these capped sizes, and the share of each."""
    if not sizes:
        return 0, {}
    batches = {task: settings[task].batch_size for task in sizes}
    epochs = {task: settings[task].epochs for task in sizes}
    return sampler.count_steps(sizes, batches, epochs), sampler.mixture(sizes, max(sizes.values()), temperature)


def _dev_tokens(spec: TrainingSpec, settings: Settings, steps: int, tokens: float) -> tuple[float, bool]:
    """Return the tokens of all evaluations of a run on development data, and whether their number is known."""
    if spec.dev_split is None:
        return 0.0, True
    size, known = count_examples(spec, "dev")
    if settings.eval_examples is not None:
        size, known = (min(size, settings.eval_examples) if known else settings.eval_examples), True
    return steps // settings.eval_every * size * tokens, known


def mixture_run(spec: MixtureSpec, recipe: Recipe, cap: int | None = None, temperature: float | None = None) -> Run:
    """Return the run of a mixture, with its own cap and temperature unless others are given."""
    return training_run(
        spec.name,
        [load_training(task) for task in spec.tasks],
        recipe,
        cap=spec.cap if cap is None else cap,
        temperature=spec.temperature if temperature is None else temperature,
    )


def tuning_runs(selection: Selection, recipe: Recipe) -> list[Run]:
    """Return the runs that train heads for targets: each training set once, and before it those that it depends on."""
    targets: dict[str, list[str]] = {}
    for spec in selection.specs:
        if spec.train is not None and not spec.unavailable:
            for name in _with_dependencies(spec.train):
                targets.setdefault(name, []).append(spec.name)
    return [training_run(name, [load_training(name)], recipe, targets=own) for name, own in targets.items()]


def _with_dependencies(name: str) -> list[str]:
    before = load_training(name).after
    return [*(_with_dependencies(before) if before else []), name]


def evaluations(selection: Selection, languages: Sequence[str] | None, split: Split) -> list[Evaluation]:
    """Return the evaluation of each target; targets without a spec or without data are left out."""
    chosen = choose_languages(selection, languages)
    return [
        _evaluation(spec, chosen[spec.name], split)
        for spec in selection.specs
        if not spec.unavailable and chosen[spec.name] and spec.split_name(split) is not None
    ]


def _evaluation(spec: TaskSpec, languages: Sequence[str], split: Split) -> Evaluation:
    counts = [spec.expected_count(code, split) for code in languages]
    examples, examples_known = sum(count or 0 for count in counts), None not in counts
    if not examples_known and len(languages) == len(spec.languages) and split != "train" and split in spec.total:
        examples, examples_known = spec.total[split], True
    example = rows(spec, spec.input.max_length)
    sizes_known, candidates, candidate_length = examples_known, 0, 0.0
    if spec.candidates is not None:
        pool = _pool_size(spec.candidates, len(languages), split)
        candidates, sizes_known = pool or 0, examples_known and pool is not None
        texts = spec.candidates.mean_characters / CHARACTERS_PER_TOKEN
        longest = spec.input.candidate_max_length or spec.input.max_length
        candidate_length = min(texts + _AROUND_A_TEXT, longest)
    example_tokens, candidate_tokens = examples * example.tokens, candidates * candidate_length
    number = examples * example.number + candidates
    vectors = number * _VECTOR_BYTES[spec.input.vectors] if spec.compares_vectors else 0
    tokens = example_tokens + candidate_tokens
    weighted = example_tokens * example.length + candidate_tokens * candidate_length
    return Evaluation(
        target=spec.name,
        languages=len(languages),
        examples=examples,
        examples_known=examples_known,
        tokens=tokens,
        candidate_tokens=candidate_tokens,
        length=weighted / tokens if number else example.length,
        vectors=vectors,
        sizes_known=sizes_known,
        tuned=spec.train is not None,
    )


def _pool_size(candidates: CandidateSpec, languages: int, split: Split) -> int | None:
    """Return the number of candidates over all languages; None where it is not known."""
    pool = candidates.expected.get(split) if split != "train" else None
    return None if pool is None else pool * (1 if candidates.scope == "task" else languages)
