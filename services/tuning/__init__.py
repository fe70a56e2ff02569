"""From the lake to language models: tuning data whose every row traces to text and pixels, tuning, evaluation."""

__all__: list[str] = []
