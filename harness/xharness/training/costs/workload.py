"""Steps, tokens, time, memory and disk of training and evaluation runs.

Sub-words are real ones, special tokens among them and padding not. They are estimated from mean characters, so the true
number, which stands in every training record and result, is somewhat another one.
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

# Of the characters of an example of multiple choice: those that stand before every choice. Between 0.3 and 0.7 in the
# five sets that were measured (HellaSwag, COPA, CommonsenseQA, Social IQa, Cosmos QA).
_PROMPT_SHARE = 0.6
# `<s> a </s></s> b </s>` and `<s> a </s>`.
_AROUND_A_PAIR, _AROUND_A_TEXT = 4, 2
_VECTOR_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Rows:
    """The rows of sub-words that an example becomes, on average.

    Attributes:
        number: rows of one example.
        length: sub-words of a row.
    """

    number: int
    length: float

    @property
    def tokens(self) -> float:
        """Sub-words of an example."""
        return self.number * self.length


@dataclass(frozen=True)
class Part:
    """What one training set is in a run.

    Attributes:
        task: name.
        examples: as far as the specs say; 0 where they say nothing.
        examples_known: the specs say how many they are.
        whole: the specs say that, and the size of the development data.
        rows: of an example.
        settings: of the recipe.
        share: of the run's steps.
        steps: of the run for this training set.
        tokens: sub-words of those steps.
        dev_tokens: sub-words of all evaluations on development data.
    """

    task: str
    examples: int
    examples_known: bool
    whole: bool
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
        name: what it is called.
        parts: its training sets.
        targets: the targets that its checkpoint is for; () for an intermediate one.
        after: the run whose checkpoint it goes on from; None: the base.
        steps: of the optimiser, at most, as early stopping may end it sooner.
    """

    name: str
    parts: tuple[Part, ...]
    steps: int
    targets: tuple[str, ...] = ()
    after: str | None = None

    @property
    def tokens(self) -> float:
        """Sub-words that are trained on."""
        return sum(part.tokens for part in self.parts)

    @property
    def length(self) -> float:
        """Sub-words of a row, as the mean sub-word meets it: attention costs by this."""
        weighed = sum(part.tokens * part.rows.length for part in self.parts)
        return weighed / self.tokens if self.tokens else 0.0

    @property
    def whole(self) -> bool:
        """Whether the sizes of all training sets are known; else all figures are least ones."""
        return all(part.whole for part in self.parts)


@dataclass(frozen=True)
class Evaluation:
    """What scoring one target is.

    Attributes:
        target: name.
        languages: how many.
        examples: as far as the specs say.
        examples_known: the specs say how many they are.
        tokens: sub-words of examples and candidates.
        candidate_tokens: those of candidates.
        length: sub-words of a row, as the mean sub-word meets it.
        vectors: bytes that its vectors take on disk for each of the encoder's dimensions.
        whole: the specs say all sizes, that of the candidates among them; else all figures are least ones.
        tuned: it is scored once per seed of tuning.
    """

    target: str
    languages: int
    examples: int
    examples_known: bool
    tokens: float
    candidate_tokens: float
    length: float
    vectors: int
    whole: bool
    tuned: bool


def rows(spec: DataSpec, max_length: int) -> Rows:
    """Return the rows of an example of a spec that are cut at ``max_length``.

    Further windows of long contexts (QA) and pieces of long sentences (tagging) are not counted.
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
    """Return the number of a training set's examples, as far as the specs say, and whether they say all."""
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
    """Return the run that trains one encoder on one or several training sets by a recipe.

    Args:
        name: what the run is called.
        specs: the training sets.
        recipe: says batch sizes, epochs and lengths.
        cap: examples of a training set that count for how often it is drawn, where there are several.
        temperature: of the draw.
        targets: what the checkpoint is for.
        given: settings in place of the recipe's.
    """
    settings = {spec.name: recipe.settings(spec, **(given or {})) for spec in specs}
    sizes = {spec.name: count_examples(spec) for spec in specs}
    known = {task: size for task, (size, _) in sizes.items() if size}
    if cap is not None and len(specs) > 1:
        known = {task: min(size, cap) for task, size in known.items()}
    steps, shares = _schedule(known, settings, temperature)
    parts = []
    for spec in specs:
        own, (size, whole) = settings[spec.name], sizes[spec.name]
        each = rows(spec, own.max_length)
        mine = shares.get(spec.name, 0.0) * steps
        # The last batch of a single task is smaller than the others; in a mixture batches are always full.
        examples = size * own.epochs if len(specs) == 1 else mine * own.batch_size
        dev_tokens, dev_whole = _dev_tokens(spec, own, steps, each.tokens)
        share = shares.get(spec.name, 0.0)
        parts.append(
            Part(
                task=spec.name,
                examples=size,
                examples_known=whole,
                whole=whole and dev_whole,
                rows=each,
                settings=own,
                share=share,
                steps=mine,
                tokens=examples * each.tokens,
                dev_tokens=dev_tokens,
            )
        )
    return Run(name, tuple(parts), steps, tuple(targets), specs[0].after if len(specs) == 1 and targets else None)


def _schedule(
    sizes: Mapping[str, int], settings: Mapping[str, Settings], temperature: float
) -> tuple[int, dict[str, float]]:
    """Return the steps of a run over training sets of these capped sizes, and the share of each."""
    if not sizes:
        return 0, {}
    batches = {task: settings[task].batch_size for task in sizes}
    epochs = {task: settings[task].epochs for task in sizes}
    return sampler.count_steps(sizes, batches, epochs), sampler.mixture(sizes, max(sizes.values()), temperature)


def _dev_tokens(spec: TrainingSpec, settings: Settings, steps: int, tokens: float) -> tuple[float, bool]:
    """Return the sub-words of all evaluations of a run on development data, and whether their number is known."""
    if spec.dev_split is None:
        return 0.0, True
    size, whole = count_examples(spec, "dev")
    if settings.eval_examples is not None:
        size, whole = (min(size, settings.eval_examples) if whole else settings.eval_examples), True
    return steps // settings.eval_every * size * tokens, whole


def mixture_run(spec: MixtureSpec, recipe: Recipe, cap: int | None = None, temperature: float | None = None) -> Run:
    """Return the run of a mixture, with its own cap and temperature where none are given."""
    return training_run(
        spec.name,
        [load_training(task) for task in spec.tasks],
        recipe,
        cap=spec.cap if cap is None else cap,
        temperature=spec.temperature if temperature is None else temperature,
    )


def tuning_runs(selection: Selection, recipe: Recipe) -> list[Run]:
    """Return the runs that train heads for targets, each training set once, and before it those that it comes after."""
    targets: dict[str, list[str]] = {}
    for spec in selection.specs:
        if spec.train is not None and not spec.unavailable:
            for name in _with_those_before(spec.train):
                targets.setdefault(name, []).append(spec.name)
    return [training_run(name, [load_training(name)], recipe, targets=its) for name, its in targets.items()]


def _with_those_before(name: str) -> list[str]:
    before = load_training(name).after
    return [*(_with_those_before(before) if before else []), name]


def evaluations(selection: Selection, languages: Sequence[str] | None, split: Split) -> list[Evaluation]:
    """Return what scoring each target is; targets without a spec or without data are left out."""
    chosen = choose_languages(selection, languages)
    return [
        _evaluation(spec, chosen[spec.name], split)
        for spec in selection.specs
        if not spec.unavailable and chosen[spec.name] and spec.split_name(split) is not None
    ]


def _evaluation(spec: TaskSpec, languages: Sequence[str], split: Split) -> Evaluation:
    counts = [spec.expected_count(code, split) for code in languages]
    examples, whole = sum(count or 0 for count in counts), None not in counts
    if not whole and len(languages) == len(spec.languages) and split != "train" and split in spec.total:
        examples, whole = spec.total[split], True
    each = rows(spec, spec.input.max_length)
    examples_known, candidates, candidate_length = whole, 0, 0.0
    if spec.candidates is not None:
        pool = _pool(spec.candidates, len(languages), split)
        candidates, whole = pool or 0, whole and pool is not None
        texts = spec.candidates.mean_characters / CHARACTERS_PER_TOKEN
        longest = spec.input.candidate_max_length or spec.input.max_length
        candidate_length = min(texts + _AROUND_A_TEXT, longest)
    own, theirs = examples * each.tokens, candidates * candidate_length
    number = examples * each.number + candidates
    vectors = number * _VECTOR_BYTES[spec.input.vectors] if spec.compares_vectors else 0
    length = (own * each.length + theirs * candidate_length) / (own + theirs) if number else each.length
    return Evaluation(
        target=spec.name,
        languages=len(languages),
        examples=examples,
        examples_known=examples_known,
        tokens=own + theirs,
        candidate_tokens=theirs,
        length=length,
        vectors=vectors,
        whole=whole,
        tuned=spec.train is not None,
    )


def _pool(candidates: CandidateSpec, languages: int, split: Split) -> int | None:
    """Return how many candidates there are over all languages."""
    pool = candidates.expected.get(split) if split != "train" else None
    return None if pool is None else pool * (1 if candidates.scope == "task" else languages)
