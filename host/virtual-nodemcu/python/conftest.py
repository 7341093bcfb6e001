"""The fixture `board`: the firmware in the flash file that FIRMWARE names, fresh for each test."""

import os
import shutil

import pytest

from virtual_nodemcu import Board


@pytest.fixture
def board(tmp_path):
    firmware = os.environ.get("FIRMWARE")
    if not firmware:
        pytest.fail("FIRMWARE names no flash file: FIRMWARE=flash.bin pytest python")
    # A copy: what one test writes to flash is not there in the next.
    flash = tmp_path / "flash.bin"
    shutil.copyfile(firmware, flash)
    with Board(flash, "--net", "none", "--part", "dht22:D5,name=room") as board:
        yield board
