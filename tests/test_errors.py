from isp_gym.errors import unknown


def test_nearest_name_is_suggested():
    message = str(unknown("module", "gama", ["gamma", "exposure"]))
    assert message == "unknown module 'gama'; did you mean 'gamma'? (known: exposure, gamma)"


def test_without_a_near_name():
    assert str(unknown("task", "sing", ["enhancement"])) == "unknown task 'sing' (known: enhancement)"
    assert str(unknown("agent", "x", [])) == "unknown agent 'x' (known: none)"
