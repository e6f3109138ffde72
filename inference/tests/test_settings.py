import pytest

from millm_inference.settings import Settings, read_settings


def test_defaults_need_no_environment():
    assert read_settings({}) == Settings()


def test_values_are_parsed_and_empty_ones_are_unset():
    settings = read_settings({"MILLM_INFERENCE_PORT": "9000", "LOG_FORMAT": "console", "MILLM_INFERENCE_SLOTS": ""})
    assert (settings.port, settings.log_format, settings.slots) == (9000, "console", Settings().slots)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MILLM_INFERENCE_PROT": "1"}, "Unknown setting MILLM_INFERENCE_PROT"),
        ({"MILLM_INFERENCE_PORT": "x"}, "MILLM_INFERENCE_PORT must be a number"),
        ({"MILLM_INFERENCE_SLOTS": "-1"}, "must not be negative"),
        ({"MILLM_INFERENCE_DEVICE": "tpu"}, "must be one of auto, cpu, cuda"),
    ],
)
def test_a_wrong_setting_is_named(environment, message):
    with pytest.raises(ValueError, match=message):
        read_settings(environment)
