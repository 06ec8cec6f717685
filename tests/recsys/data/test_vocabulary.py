from pathlib import Path

from recsys.data.vocabulary import Vocabulary

IDS = ("b", "a", "", "käse 🧀", "line\nbreak", '"quoted"')


def test_an_id_and_its_number_are_each_others_inverse() -> None:
    vocabulary = Vocabulary(IDS)
    assert [vocabulary.number(id_) for id_ in IDS] == list(range(len(IDS)))
    assert vocabulary.ids == IDS


def test_an_unknown_id_has_no_number_and_is_left_out_of_numbers() -> None:
    vocabulary = Vocabulary(["a", "b"])
    assert vocabulary.number("c") is None
    assert vocabulary.numbers(["b", "c", "a", "b"]).tolist() == [1, 0, 1]
    assert vocabulary.numbers([]).dtype == "int32"


def test_ids_survive_saving_whatever_they_contain(tmp_path: Path) -> None:
    Vocabulary(IDS).save(tmp_path / "ids.json")
    assert Vocabulary.load(tmp_path / "ids.json").ids == IDS
