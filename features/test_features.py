"""Makes every feature below this folder a test: `pytest features/ -m monthly`."""

from pytest_bdd import scenarios

scenarios(".")
