"""Specs and ids: golden values, for an id that changes loses every bag that was stored under it."""

import json

from slidelake.encoders import EncoderSpec, create_encoder

SPEC = EncoderSpec(
    name="my encoder",
    dim=3,
    input_px=224,
    preferred_mpp=0.5,
    normalisation=((0.5, 0.25), ("a", 1)),
    pooling="cls",
    resampling="bicubic",
    weights_sha256="ab" * 32,
    stain="none",
    licence="MIT",
    description="words",
)


def test_fingerprint_is_plain_json_of_what_changes_the_numbers() -> None:
    text = json.dumps(SPEC.fingerprint(), sort_keys=True, separators=(",", ":"))
    assert text == (
        '{"dim":3,"input_px":224,"name":"my encoder","normalisation":[[0.5,0.25],["a",1]],"pooling":"cls",'
        '"resampling":"bicubic","stain":"none","weights_sha256":"' + "ab" * 32 + '"}'
    )


def test_ids_are_golden() -> None:
    assert SPEC.encoder_id == "my-encoder-863661e9.2362d470"
    assert create_encoder("colour-histogram").spec.encoder_id == "colour-histogram.2295201b"
    assert create_encoder("stain-texture").spec.encoder_id == "stain-texture.b5da329d"


def test_words_for_people_do_not_change_the_id() -> None:
    other = EncoderSpec(**{**_fields(), "licence": "other", "description": "other", "preferred_mpp": None})
    assert other.encoder_id == SPEC.encoder_id


def test_everything_else_changes_it() -> None:
    changes = {
        "dim": 4,
        "input_px": None,
        "normalisation": "x",
        "pooling": "mean",
        "resampling": "bilinear",
        "weights_sha256": "",
        "stain": "macenko",
    }
    ids = {EncoderSpec(**{**_fields(), key: value}).encoder_id for key, value in changes.items()}
    assert len(ids | {SPEC.encoder_id}) == len(changes) + 1


def _fields() -> dict[str, object]:
    return {name: getattr(SPEC, name) for name in SPEC.__slots__}
