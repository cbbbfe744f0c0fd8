"""Knowing the latency, with real processes: slow-downs are noticed, strangers are measured."""

from statistics import median
from typing import Any

#: The device becomes twelve times slower at the 13th of 36 inferences: whatever machine this runs
#: on, the model stays on the device before and does not after.
SLOWER, INFERENCES, TIMES = 13, 36, 12.0


def error(inference: dict[str, Any], which: str) -> float:
    """Of a prediction, relative to what was measured."""
    return abs(inference[f"{which}_latency_s"] / inference["latency_s"] - 1.0)


def test_a_device_that_slows_down_is_noticed_and_its_cut_changes(serve: Any, join: Any) -> None:
    _, address = serve("--capacity", "2", "--core-slowdown", "2")
    client = join(
        *(address, "cam", "zoo:squeezenet", "--device-slowdown", f"2,{2 * TIMES}@{SLOWER}"),
        *("--inferences", str(INFERENCES), "--max-share", "2"),
    )
    told = client.until("done")
    inferences = [event for event in told if event["event"] == "inference"]
    assert len(inferences) == INFERENCES
    noticed = [e for e in told if e["event"] == "changed" and e["segment"] == "device"]
    slowed = [event for event in noticed if event["index"] >= SLOWER - 1]
    assert slowed
    # Four inferences in a row show it, and show all of it; where others load the machine it takes
    # some more, and what the device took before was longer by what it waited for a core.
    assert slowed[0]["index"] <= SLOWER + 12
    assert 2.0 < slowed[0]["after"] / slowed[0]["before"] < 2.0 * TIMES
    # What the device keeps is less than before, and the market was asked again.
    cuts = [event["cut"]["operators_on_device"] for event in told if event["event"] == "allocated"]
    assert cuts[-1] < cuts[0]
    assert any(event["again"] for event in told if event["event"] == "reconsidered")
    late = [event for event in inferences if event["index"] > slowed[0]["index"]]
    if cuts[-1]:
        assert median(error(e, "corrected") for e in late) < median(
            error(e, "uncorrected") for e in late
        )
    assert median(error(event, "corrected") for event in late) < 0.5
    assert told[-1]["strategies"]["dds"]["outputs_match"]


def test_a_server_of_another_platform_measures_the_model_for_a_client(
    serve: Any, join: Any
) -> None:
    _, address = serve("--capacity", "2", "--core-slowdown", "2", "--optimise", "all")
    flags = ("--device-slowdown", "20", "--optimise", "none", "--uplink", "1000")
    first = join(address, "first", "zoo:squeezenet", *flags).until("done")
    (measured,) = [event for event in first if event["event"] == "measured there"]
    assert not measured["known"]
    (joined,) = [event for event in first if event["event"] == "joined"]
    assert joined["server"] == "server's profile"
    # Nothing is fused on the device: what is cut as one is what the server fuses.
    (loaded,) = [event for event in first if event["event"] == "loaded"]
    assert joined["groups"] < loaded["operators"]
    assert first[-1]["strategies"]["dds"]["outputs_match"]
    second = join(address, "second", "zoo:squeezenet", *flags).until("joined")
    (measured,) = [event for event in second if event["event"] == "measured there"]
    assert measured["known"]


def test_a_client_that_may_not_upload_reckons_with_the_roofline(serve: Any, join: Any) -> None:
    _, address = serve("--capacity", "2", "--optimise", "all")
    flags = ("--device-slowdown", "20", "--optimise", "none", "--measure-there", "0")
    told = join(address, "thrifty", "zoo:squeezenet", *flags).until("done")
    (joined,) = [event for event in told if event["event"] == "joined"]
    assert joined["server"] == "roofline"
    assert told[-1]["strategies"]["dds"]["outputs_match"]
