"""Tests of a firmware that says what it hears, in capitals, and turns its lamp with each line."""

import pytest

from virtual_nodemcu import BoardError


def test_it_answers(board):
    board.wait_for("echo> ")
    board.type("hello")
    board.wait_for("HELLO")


def test_it_answers_in_utf_8(board):
    board.wait_for("echo> ")
    board.type("21.5 °C, 3 €")
    assert board.wait_for("C, 3 €") == "21.5 °C, 3 €"


def test_each_line_turns_the_lamp(board):
    board.wait_for("echo> ")
    assert not board.led()
    for lit in (True, False):
        board.type("x\r")
        board.wait_for("echo> ")
        assert board.led() is lit
        assert board.pin("D4")["high"] is not lit


def test_a_reset_begins_again(board):
    board.wait_for("echo> ")
    board.reset()
    assert "rst cause:2" in board.wait_for("echo> ")


def test_a_sensor_says_what_the_test_wants(board):
    assert board.part("room", temperature=-3.5)["temperature"] == -3.5
    with pytest.raises(BoardError, match="from -40 to 80"):
        board.part("room", temperature=1000)
