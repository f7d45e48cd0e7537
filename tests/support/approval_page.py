"""The approval widget without a kernel: a page that remembers what it showed, and buttons to press."""

from __future__ import annotations

import threading

from orchmagic.notebook import approval


class Place:
    """A display that remembers what it showed."""

    def __init__(self):
        self.shown = []

    def update(self, data, /):
        self.shown.append(data)

    @property
    def html(self):
        return self.shown[-1].get("text/html", "") if self.shown else ""


class Page:
    """The places of one cell, and the panel in the first of them."""

    def __init__(self, run):
        self.run = run
        self.first = Place()
        self.below = approval.ResultArea(Place(), Place())
        self.panel = approval.Panel(run, self.first, self.below)
        self.panel.offer()

    @property
    def controls(self):
        return self.panel.controls

    def click(self, choice):
        self.controls.buttons[choice].click()

    def send(self, text):
        self.controls.text.value = text
        self.controls.submit.click()


def ended():
    """Wait until what a click began has been shown."""
    for thread in threading.enumerate():
        if thread.name == "orchmagic-answer":
            thread.join(20)
