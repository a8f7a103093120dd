"""The settings of a reconstruction as a form, made from the same model that the command line reads."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget
from superqt import QCollapsible

from usct.config import RunConfig, load_config, preset_names

FIRST = (
    "parameterization.name",
    "schedule.frequencies_mhz",
    "schedule.iterations",
    "schedule.max_solves",
    "attenuation.invert",
    "device",
)
"""Settings that stand above the fold."""
TITLES = {
    "parameterization.name": "Representation",
    "schedule.frequencies_mhz": "Frequencies [MHz]",
    "schedule.iterations": "Updates per frequency",
    "schedule.max_solves": "Budget [factorisations]",
    "attenuation.invert": "Attenuation too",
}
HIDDEN = ("description", "preset")
_UNITS = {"_mhz": " [MHz]", "_mm": " [mm]", "_us": " [µs]", "_deg": " [°]", "_db_per_cm": " [dB/cm]"}


Editor = QCheckBox | QComboBox | QLineEdit


class SettingsForm(QWidget):
    """A row for every setting; what differs from the preset is an override.

    Signals:
        changed: A setting or the preset is another one now.
    """

    changed = Signal()

    def __init__(self) -> None:
        """Build all rows from the model."""
        super().__init__()
        self._editors: dict[str, Editor] = {}
        self._plain: dict[str, str] = {}
        self.preset = _box()
        self.preset.addItems(preset_names())
        self.preset.setToolTip("Settings that belong together; everything below is changed on top of them.")
        top = QFormLayout(self)
        top.setContentsMargins(0, 0, 0, 0)
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        top.addRow("Preset", self.preset)
        fields = dict(_settings(RunConfig))
        for key in FIRST:
            self._add(top, key, fields[key])
        folded = QCollapsible("All settings")
        if (inner := folded.layout()) is not None:
            inner.setContentsMargins(0, 0, 0, 0)
        for section in dict.fromkeys(key.rpartition(".")[0] for key in fields):
            keys = [k for k in fields if k.rpartition(".")[0] == section and k not in (*FIRST, *HIDDEN)]
            if keys:
                folded.addWidget(self._section(section or "machine", {key: fields[key] for key in keys}))
        top.addRow(folded)
        self.preset.setCurrentText("breast")
        self.preset.currentTextChanged.connect(self.reset)
        self.reset()

    @property
    def keys(self) -> set[str]:
        """Settings that have a row."""
        return set(self._editors)

    def reset(self) -> None:
        """Show the preset's own settings."""
        config = load_config(self.preset.currentText(), None, [])
        for key, editor in self._editors.items():
            self._plain[key] = _text(_value(config, key))
            editor.blockSignals(True)
            _put(editor, self._plain[key])
            if isinstance(editor, QLineEdit):
                # What holds where the line is empty.
                editor.setPlaceholderText(self._plain[key] or "automatic")
            editor.blockSignals(False)
        self.changed.emit()

    def overrides(self) -> list[str]:
        """Settings that differ from the preset, as the command line's `--set` takes them."""
        fields = dict(_settings(RunConfig))
        found = []
        for key, editor in self._editors.items():
            text = _get(editor)
            if text != self._plain[key] and text:
                is_list = "tuple" in str(fields[key].annotation)
                found.append(f"{key}=[{text.strip('[]()')}]" if is_list else f"{key}={text}")
        return found

    def config(self) -> RunConfig:
        """All settings.

        Raises:
            InputError: If one of them is impossible; the sentence names it.
        """
        return load_config(self.preset.currentText(), None, self.overrides())

    def set_value(self, key: str, text: str) -> None:
        """Fill in one setting.

        Args:
            key: Such as schedule.iterations.
            text: As it is typed.
        """
        _put(self._editors[key], text)

    def _section(self, title: str, fields: dict[str, FieldInfo]) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.addWidget(QLabel(f"<b>{title.replace('_', ' ').capitalize()}</b>"))
        rows = QFormLayout()
        layout.addLayout(rows)
        for key, field in fields.items():
            self._add(rows, key, field)
        return box

    def _add(self, layout: QFormLayout, key: str, field: FieldInfo) -> None:
        editor = self._editors[key] = _editor(field)
        about = " ".join((field.description or "").split())
        editor.setToolTip(f"{about} ({key})")
        label = QLabel(TITLES.get(key, _title(key)))
        label.setToolTip(editor.toolTip())
        layout.addRow(label, editor)
        if isinstance(editor, QCheckBox):
            editor.toggled.connect(lambda _: self.changed.emit())
        elif isinstance(editor, QComboBox):
            editor.currentTextChanged.connect(lambda _: self.changed.emit())
        else:
            editor.textChanged.connect(lambda _: self.changed.emit())


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a model and its sections, by its key."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _choices(annotation: Any) -> list[str]:
    """The values of a Literal, also within a union with others; empty for other types."""
    if typing.get_origin(annotation) is Literal:
        return [str(value) for value in typing.get_args(annotation)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [value for part in typing.get_args(annotation) for value in _choices(part)]
    return []


def _editor(field: FieldInfo) -> Editor:
    if field.annotation is bool:
        return QCheckBox()
    choices = _choices(field.annotation)
    if choices:
        box = _box()
        box.addItems(choices)
        return box
    return QLineEdit()


def _box() -> QComboBox:
    """A box that is as narrow as its panel wants, however long its choices are."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def _title(key: str) -> str:
    name = key.rpartition(".")[2]
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " ").capitalize() + unit
    return name.replace("_", " ").capitalize()


def _value(config: RunConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _text(value: Any) -> str:
    """A setting as it is typed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(v if isinstance(v, str) else f"{v:g}" for v in value)
    return str(value)


def _get(editor: Editor) -> str:
    if isinstance(editor, QCheckBox):
        return "true" if editor.isChecked() else "false"
    return editor.currentText() if isinstance(editor, QComboBox) else editor.text().strip()


def _put(editor: Editor, text: str) -> None:
    if isinstance(editor, QCheckBox):
        editor.setChecked(text == "true")
    elif isinstance(editor, QComboBox):
        editor.setCurrentText(text)
    else:
        editor.setText(text)
