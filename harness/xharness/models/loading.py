"""Loading a checkpoint with its head, and running it over rows of sub-words in batches by token budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from xharness.checkpoints.heads import Head
from xharness.errors import ModelError, UsageError
from xharness.models.head_weights import check_complete, check_head, fill
from xharness.models.kinds.base import Array, Context, Features, Kind

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# A batch is closed at a change of length once it holds this part of the budget: from there on the processor is
# busy anyway, and rows of one length need no padding and no mask.
FULL_ENOUGH = 8

# Budgets are halved after out-of-memory down to so many sub-words.
SMALLEST_BUDGET = 64


@dataclass(frozen=True)
class Encoder:
    """A loaded model with its tokenizer.

    Attributes:
        model: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        device: where it is.
        dtype: name of the type of its weights.
        max_positions: sub-words that a row may have, special tokens included; None where there is no limit.
        layers: number of layers of the encoder.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    max_positions: int | None
    layers: int


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; raise UsageError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):
        raise UsageError(f"There is no device '{name}'. Use auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"The device '{name}' is not there: this machine has {torch.cuda.device_count()} CUDA devices. "
            "Use --device auto or cpu."
        )
    return device


def choose_dtype(name: str, device: torch.device) -> str:
    """Return the type to compute in; ``auto`` is bfloat16 where the processor has matrix units for it, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
    return "float32"


def load(
    path: Path,
    kind: Kind,
    *,
    name: str,
    device: torch.device,
    dtype: str,
    pooling: str | None = None,
    head: Head | None = None,
    trust_remote_code: bool = False,
) -> Encoder:
    """Load a checkpoint from a local folder, with the head that a kind of problem needs.

    Args:
        path: the folder.
        kind: of problem.
        name: what the user called the checkpoint, for messages.
        device: where it is to be.
        dtype: name of the type of its weights.
        pooling: how texts become vectors, for kinds that compare them.
        head: one that has a file of its own; None, or a head without a file: the one in the checkpoint's own weights.
        trust_remote_code: Python code that lies beside it may be run.

    Raises:
        ModelError: a weight that is needed is not in the checkpoint (nothing is ever filled with random values),
            weights, tokenizer, head and config.json do not belong together, or the folder cannot be read.
    """
    with quiet(), _as_model_error(name):
        options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        if (
            kind.auto_class == "AutoModelForTokenClassification"
            and getattr(tokenizer, "add_prefix_space", None) is False
        ):
            # Byte-level tokenizers must see each word as if after a space.
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, add_prefix_space=True, **options)
        beside = head if head is not None and head.file is not None else None
        given = {} if beside is None else {"config": _config_of(beside, path, options)}
        model, report = getattr(transformers, kind.auto_class).from_pretrained(
            path,
            dtype=DTYPES[dtype],
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **given,
            **options,
        )
        filled = set() if beside is None else fill(model, set(report["missing_keys"]), path, beside, name)
    check_complete(model, report, kind, name, pooling, filled)
    check_head(model, kind, name, pooling)
    _check_vocabulary(model, tokenizer, name)
    model.eval().to(device)
    config = model.config
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int):
        raise ModelError(f"{name}: config.json does not say how many layers the encoder has.")
    with _as_model_error(name):
        positions = _max_positions(model)
        special = tokenizer.num_special_tokens_to_add(pair=True)
    if positions is not None and positions <= special:
        raise ModelError(
            f"{name}: the model has {max(positions, 0)} positions, and the special tokens alone take up to {special}: "
            "there is no room for text. Is max_position_embeddings in config.json right?"
        )
    return Encoder(model, tokenizer, device, dtype, positions, layers)


def _config_of(head: Head, path: Path, options: dict[str, Any]) -> Any:
    """Return the checkpoint's config as it would be if the head were its own: the stock class is built by it."""
    config = transformers.AutoConfig.from_pretrained(path, **options)
    # A head without names has outputs of which the class knows the number itself, but for question answering.
    names = list(head.labels) or [f"LABEL_{i}" for i in range(2)]
    config.id2label = dict(enumerate(names))
    config.label2id = {label: i for i, label in enumerate(names)}
    config.architectures = [head.architecture]
    return config


def _check_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    """Raise ModelError if the tokenizer cannot be the one that the model was trained with."""
    try:
        rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
        ids = tokenizer.get_vocab().values()
    except (NotImplementedError, AttributeError):
        return  # a model of bytes or characters
    if rows is None:
        return
    largest = max(ids, default=-1)
    if largest >= rows:
        raise ModelError(
            f"{name}: the tokenizer's ids go up to {largest}, but the model has embeddings for {rows} sub-words only. "
            "Is the tokenizer that of this model?"
        )
    if len(ids) * 100 < rows:
        raise ModelError(
            f"{name}: the tokenizer knows {len(ids)} sub-words, but the model has embeddings for {rows}: its "
            "vocabulary is missing. Save the tokenizer that the model was trained with beside it."
        )


def _max_positions(model: Any) -> int | None:
    """Return the usable positions of learned position embeddings; None for rotary or relative ones without a limit."""
    for module_name, module in model.named_modules():
        if module_name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa's family counts positions from after the padding index.
            offset = module.padding_idx + 1 if module.padding_idx is not None else 0
            return module.num_embeddings - offset
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit else None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' load reports and bars off the terminal: what matters is checked and said by us."""
    before = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()


@contextmanager
def _as_model_error(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ModelError(f"{name}: cannot be loaded by transformers {transformers.__version__}: {first}") from error
    except Exception as error:
        # safetensors and tokenizers raise bare exceptions of their own for a damaged file.
        if type(error).__module__.split(".")[0] in (
            "safetensors_rust",
            "safetensors",
            "builtins",
            "tokenizers",
        ):
            raise ModelError(f"{name}: a file of the checkpoint is damaged: {error}. Download it again.") from error
        if type(error).__module__.split(".")[0] in ("huggingface_hub", "transformers"):
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelError(f"{name}: cannot be loaded by transformers {transformers.__version__}: {said}") from error
        raise


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of row numbers, longest rows first; each holds at most ``budget`` sub-words, padding included.

    A pure function of its arguments, so that a resumed run computes the very same batches: kernels round by shape.
    A row longer than the budget makes a batch of its own.

    >>> batches([2, 3, 2, 9], 6)
    [[3], [1, 0], [2]]
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    found: list[list[int]] = []
    for row in order:
        if found:
            longest, size = lengths[found[-1][0]], len(found[-1])
            new_length = lengths[row] != lengths[found[-1][-1]]
            full = longest * size * FULL_ENOUGH >= budget
            if longest * (size + 1) <= budget and not (new_length and full):
                found[-1].append(row)
                continue
        found.append([row])
    return found


def default_budget(encoder: Encoder) -> int:
    """Return the token budget to begin with: small on a CPU, whose cache is small, by free memory on a GPU."""
    if encoder.device.type != "cuda":
        return 4096
    free, _ = torch.cuda.mem_get_info(encoder.device)
    config = encoder.model.config
    width = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    # Activations of one layer (two copies of the widest), and the hidden states of all layers where they are kept.
    per_token = (4 * width + (encoder.layers + 8) * config.hidden_size) * (4 if encoder.dtype == "float32" else 2)
    return int(min(max(free // 3 // per_token, 2048), 131_072))


def forward(
    encoder: Encoder,
    kind: Kind,
    features: Features,
    context: Context,
    budget: int,
    tick: Callable[[int], None] = lambda tokens: None,
) -> list[Array]:
    """Run the model over all rows and return what the kind reduces each row to, in the order of the rows.

    Args:
        encoder: the loaded model.
        kind: says how model output becomes one small array per row.
        features: the rows.
        context: passed to the kind.
        budget: sub-words per batch, padding included.
        tick: called after each batch with the number of sub-words done (padding not counted).

    Raises:
        NonFiniteOutput: the model put out NaN or infinity.
        torch.OutOfMemoryError: a batch did not fit.
    """
    results: list[Any] = [None] * len(features.input_ids)
    pad = encoder.tokenizer.pad_token_id or 0
    extra = {"output_hidden_states": True} if context.layers else {}
    with torch.inference_mode():
        for rows in batches(features.lengths, budget):
            inputs, mask = _tensors(features, rows, pad, encoder.device)
            if kind.choices:
                inputs = {name: values.unsqueeze(1) for name, values in inputs.items()}
            output = encoder.model(**inputs, **extra, return_dict=True)
            reduced = kind.reduce(output, mask, [features.rows[r] for r in rows], context)
            for row, value in zip(rows, reduced, strict=True):
                results[row] = value
            tick(sum(features.lengths[row] for row in rows))
    return results


def _tensors(
    features: Features, rows: list[int], pad: int, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    longest = features.lengths[rows[0]]
    even = features.lengths[rows[-1]] == longest
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        length = features.lengths[row]
        ids[place, :length] = torch.tensor(features.input_ids[row])
        mask[place, :length] = 1
    inputs = {"input_ids": ids.to(device)}
    mask = mask.to(device)
    if not even:
        # Without padding no mask is given: attention then takes its fastest way.
        inputs["attention_mask"] = mask
    if features.token_type_ids is not None:
        types = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            types[place, : features.lengths[row]] = torch.tensor(features.token_type_ids[row])
        inputs["token_type_ids"] = types.to(device)
    return inputs, mask


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; a CPU has no exception of its own for this."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def device_name(device: torch.device) -> str:
    """Return what a result says of the device: the GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Return the versions of the packages that a score may depend on."""
    import tokenizers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
