"""Evaluation: runs variants of an orchestration over rows, scores them with metrics, and says which one to choose.

It is not called `evaluate`, because that is the public function `orchmagic.evaluate`.
"""
