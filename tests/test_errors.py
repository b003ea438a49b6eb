from isp_gym.errors import unknown


def test_nearest_name_is_suggested():
    message = str(unknown("module", "gama", ["gamma", "exposure"]))
    assert message == "unknown module 'gama'; did you mean 'gamma'? (known: exposure, gamma)"


def test_without_a_near_name():
    assert str(unknown("task", "sing", ["enhancement"])) == "unknown task 'sing' (known: enhancement)"
    assert str(unknown("agent", "x", [])) == "unknown agent 'x' (known: none)"


def test_of_two_names_as_near_the_one_with_more_letters_in_a_row_is_suggested():
    known = ("sequence_learning_rate", "sequences_per_image")
    assert "did you mean 'sequence_learning_rate'?" in str(unknown("option", "sequence_lr", known))
