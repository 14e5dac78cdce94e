"""The demo's little world: complete and parallel, learnable, and never the same people in training and test."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import transformers

from xharness import assets
from xharness.data import loading
from xharness.demo import encode as demo_encode
from xharness.demo import lexicon
from xharness.demo import run as demo_run
from xharness.demo import train as demo_train
from xharness.demo.data import SIZES, make_data
from xharness.errors import SpecError
from xharness.tasks.registry import load_task

LEXICON = lexicon.load()
LANGUAGES = list(LEXICON.languages)
TASKS = sorted((assets.TASKS / "demo").glob("*.yaml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture(scope="module")
def checkpoints(data, tmp_path_factory) -> dict[str, Path]:
    few = demo_train.Settings(steps=2, alignment_steps=3)
    before = torch.get_rng_state(), torch.get_num_threads()
    folders = demo_train.train_checkpoints(data, tmp_path_factory.mktemp("models"), progress=False, settings=few)
    # The caller's random numbers and threads are left as they were.
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    return folders


def rows(data: Path, name: str, language: str, split: str) -> list[dict]:
    return pq.read_table(data / "xharness" / name / language / f"{split}-00000-of-00001.parquet").to_pylist()


def files(folder: Path) -> dict[str, str]:
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def templates() -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Return for each template: where it stands, its language, its slots, and those of the English one."""
    found = []
    for name, relation in LEXICON.relations.items():
        kinds = {"statement": relation.statement, **relation.questions}
        kinds |= {"denial": relation.denial} if relation.denial else {}
        for kind, by_language in kinds.items():
            for language, template in by_language.items():
                for words in [template] if isinstance(template, str) else template.values():
                    slots = lexicon.slots_of(words), lexicon.slots_of(by_language["en"])
                    found.append((f"{name}.{kind}", language, *map(tuple, map(sorted, slots))))
    return found


def test_every_template_has_the_same_slots_in_every_language():
    assert [t for t in templates() if t[2] != t[3]] == []


def test_a_missing_word_is_named():
    content = {
        **lexicon.strict_yaml.read(lexicon.PATH),
        "family_names": [{code: "Miller" for code in LANGUAGES if code != "el"}],
    }
    with pytest.raises(SpecError, match=r"family_names\.0: no words in 'el'"):
        lexicon.strict_yaml.parse(lexicon.Lexicon, content, "lexicon.yaml")


def test_no_phrase_stands_twice_in_a_language():
    for slot, phrases in LEXICON.phrases.items():
        for code in LANGUAGES:
            found = [phrase[code] for phrase in phrases]
            assert len(set(found)) == len(found), (slot, code)


@pytest.mark.parametrize("language", LANGUAGES)
def test_letters_are_of_the_script_that_is_claimed(data, language):
    script = LEXICON.languages[language].script
    text = "".join(r["premise"] + r["hypothesis"] for r in rows(data, "demo-nli", language, "test"))
    letters = {c for c in text if unicodedata.category(c).startswith("L")}
    assert letters
    assert {c for c in letters if not unicodedata.name(c).startswith(script)} == set()


def test_the_demo_has_seven_languages_and_five_scripts():
    assert len(LANGUAGES) == 7
    assert len({writing.script for writing in LEXICON.languages.values()}) == 5


def test_data_is_the_same_for_the_same_seed_only(data, tmp_path):
    assert files(make_data(tmp_path / "again")) == files(data)
    assert files(make_data(tmp_path / "other", seed=1)) != files(data)


@pytest.mark.parametrize("path", TASKS, ids=lambda p: p.stem)
def test_the_data_is_complete_as_its_task_says(data, path):
    spec = load_task(str(path))
    name = spec.name.replace("_", "-")
    assert spec.expected_count("de", "test") == SIZES[name]["test"]
    for language in spec.languages:
        # As everyone's data is read: columns, labels, answers and counts are checked on the way.
        loaded = loading.load(spec, language, "test", data)
        assert (len(loaded.examples), loaded.status) == (SIZES[name]["test"], "complete")
        assert not any(loaded.counts.values())
    if spec.dev_split:
        assert len(loading.load(spec, "en", "dev", data).examples) == SIZES[name]["validation"]


def test_test_data_is_parallel(data):
    nli = [[r["label"] for r in rows(data, "demo-nli", code, "test")] for code in LANGUAGES]
    assert all(labels == nli[0] for labels in nli)
    bitext = [[r["english"] for r in rows(data, "demo-bitext", c, "test")] for c in LANGUAGES if c != "en"]
    assert all(english == bitext[0] for english in bitext)
    assert len(set(bitext[0])) == len(bitext[0])


def test_training_and_test_share_no_person_and_no_sentence_pair(data):
    everyone = [
        LEXICON.first_names[gender][first]["en"] + " " + LEXICON.family_names[family]["en"]
        for gender, first, family in LEXICON.people
    ]
    trained = [r["english"] for r in rows(data, "demo-parallel", "de", "train")]
    trained += [r["premise"] + r["hypothesis"] for r in rows(data, "demo-nli", "en", "train")]
    trained += [" ".join(r["tokens"]) for r in rows(data, "demo-ner", "en", "train")]
    trained += [r["context"] + r["question"] for r in rows(data, "demo-qa", "en", "train")]
    tested = [r["english"] for r in rows(data, "demo-bitext", "de", "test")]
    tested += [r["premise"] + r["hypothesis"] for r in rows(data, "demo-nli", "en", "test")]
    tested += [" ".join(r["tokens"]) for r in rows(data, "demo-ner", "en", "test")]
    tested += [r["context"] + r["question"] for r in rows(data, "demo-qa", "en", "test")]
    assert set(trained) & set(tested) == set()
    train, test = "\n".join(trained), "\n".join(tested)
    assert [name for name in everyone if name in train and name in test] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_tags_fit_tokens_and_answers_stand_where_they_should(data, language):
    for row in rows(data, "demo-ner", language, "test"):
        assert len(row["tokens"]) == len(row["ner_tags"])
        assert any(tag.startswith("B-") for tag in row["ner_tags"])
        before = ["O", *row["ner_tags"][:-1]]
        pairs = zip(before, row["ner_tags"], strict=True)
        assert all(b[2:] == t[2:] for b, t in pairs if t.startswith("I-"))
    for row in rows(data, "demo-qa", language, "test"):
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text != ""
        assert text not in row["question"]


def test_chinese_tokens_are_characters(data):
    tokens = [t for r in rows(data, "demo-ner", "zh", "test") for t in r["tokens"]]
    assert {len(t) for t in tokens} == {1}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_mark_of_the_lexicon_is_left_in_a_text(data, language):
    texts = [r["premise"] + r["hypothesis"] for r in rows(data, "demo-nli", language, "test")]
    texts += [r["context"] + r["question"] for r in rows(data, "demo-qa", language, "test")]
    assert [text for text in texts if re.search(r"[<>{}]|  ", text)] == []


def test_the_tokenizer_is_of_xlm_rs_kind(checkpoints, data):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints["encoder"])
    assert tokenizer.is_fast
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token == "<mask>"
    one, two = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("Anna", "Нина"))
    assert tokenizer("Anna", "Нина")["input_ids"] == [0, *one, 2, 2, *two, 2]
    for language in LANGUAGES:
        texts = [r["premise"] for r in rows(data, "demo-nli", language, "test")]
        assert not any(3 in ids for ids in tokenizer(texts)["input_ids"]), language


def test_a_few_steps_save_checkpoints_that_transformers_loads(checkpoints):
    classes = {
        "encoder": transformers.AutoModel,
        "nli": transformers.AutoModelForSequenceClassification,
        "ner": transformers.AutoModelForTokenClassification,
        "qa": transformers.AutoModelForQuestionAnswering,
    }
    embeddings = []
    for name, of_class in classes.items():
        model, report = of_class.from_pretrained(checkpoints[name], output_loading_info=True)
        # The bare encoder has no pooler: nothing would train it.
        assert {k.split(".")[0] for k in report["missing_keys"]} <= ({"pooler"} if name == "encoder" else set())
        embeddings.append(model.get_input_embeddings().weight)
    assert all(torch.equal(e, embeddings[0]) for e in embeddings)
    config = transformers.AutoConfig.from_pretrained(checkpoints["ner"])
    assert list(config.id2label.values()) == demo_encode.labels("demo_ner")


def test_the_story_trains_once_and_evaluates_with_the_public_function(tmp_path, monkeypatch):
    trained, evaluated = [], []
    monkeypatch.setattr(demo_run, "make_data", lambda to, seed: None)
    monkeypatch.setattr(demo_train, "train_checkpoints", lambda *a, **k: trained.append(a))
    monkeypatch.setattr(demo_run, "evaluate", lambda model, **k: evaluated.append((Path(model).name, k)) or model)
    found = demo_run.run(tmp_path, seed=3, progress=False)
    demo_run.run(tmp_path, seed=3, progress=False)
    demo_run.run(tmp_path, seed=4, progress=False)
    assert len(trained) == 2
    assert [name for name, _ in found] == ["nli", "ner", "qa", "encoder"] == [name for name, _ in evaluated[:4]]
    assert all(Path(k["targets"][0]).is_file() for _, k in evaluated)


@pytest.mark.slow
def test_the_demo_really_learns(tmp_path):
    found = dict(demo_run.run(tmp_path, progress=False))
    english = {name: found[name].tasks[demo_run.TARGETS[name]].languages["en"].scores for name in ("nli", "ner", "qa")}
    assert english["nli"]["accuracy"] >= 75
    assert english["ner"]["f1"] >= 80
    assert english["qa"]["f1"] >= 60
    bitext = found["encoder"].tasks["demo_bitext"].languages
    assert min(score.scores["accuracy"] for score in bitext.values()) >= 50
