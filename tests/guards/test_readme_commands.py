"""The extractor that the README test rests on."""

from tests.readme_commands import Example, python_blocks, shell_commands

DOCUMENT = """\
# Title

```console
$ slidelake synth slides --seed 1   # six of them
wrote 6 slides
$ slidelake ingest 'slides/*.tif' \\
    --store lake
```

    $ slidelake not-fenced

```bash
# a comment
git clone URL

slidelake status --store lake
```

```python
import slidelake

lake = slidelake.open("lake")
```

- in a list

  ```sh
  make test
  ```

````console
```
````

```
$ slidelake no-language
```
"""


def test_commands_in_order_with_their_lines():
    assert shell_commands(DOCUMENT) == [
        Example(4, "slidelake synth slides --seed 1   # six of them"),
        Example(6, "slidelake ingest 'slides/*.tif' --store lake"),
        Example(14, "git clone URL"),
        Example(16, "slidelake status --store lake"),
        Example(28, "make test"),
        Example(32, "```"),
    ]


def test_python_blocks():
    assert python_blocks(DOCUMENT) == [Example(20, 'import slidelake\n\nlake = slidelake.open("lake")\n')]


def test_a_document_without_commands():
    assert shell_commands("") == python_blocks("") == shell_commands("```console\n") == []
