"""What people fill in about an attached server; what is wrong is judged by `node_spec`, as for the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from webui.driver import TOKEN_USER, driver_names, driver_of
from webui.kinds import WorkKind
from webui.models import Node
from webui.nodes.change import why_not_changed
from webui.nodes.spec import NodeSpec, card_problem, spec_problems, usual_driver, wants_token
from webui.work.unit import DEFAULT_DRIVER

#: The form's field for a part of the specification, where it has another name.
FIELDS = {"api_auth": "user"}
#: Stands for the name while only the address is of interest.
ANY_NAME = "node"
CREDENTIALS = (
    "A WebUI: those of its --api-auth; leave both empty where it has none. A DiffSynth worker: only its "
    "token, and no user."
)
KEEP_CREDENTIALS = (
    "It has a user and password; leave both empty to keep them. A new address needs them again."
)
KEEP_TOKEN = "It has a token; leave this empty to keep it. A new address needs it again."  # noqa: S105
NO_CREDENTIALS = "It has no user and password so far. Give those of its --api-auth, or leave both empty."
NO_TOKEN = "It has no token so far. Give the one that it was started with, and no user."  # noqa: S105


def driver_choices() -> list[tuple[str, str]]:
    return [(name, driver_of(name).title) for name in driver_names()]


def usual_kind(driver: str) -> str:
    """What a server of this driver takes where nobody says."""
    return driver_of(driver).kinds[0] if driver in driver_names() else WorkKind.IMAGE.value


class AddressForm(forms.Form):
    """Where it is and how it is reached. A password is never sent back to the page."""

    base_url = forms.CharField(label="Address")
    user = forms.CharField(label="User", required=False, help_text=CREDENTIALS)
    password = forms.CharField(
        label="Password or token", required=False, strip=False, widget=forms.PasswordInput
    )
    driver = forms.ChoiceField(label="What runs there", required=False, choices=driver_choices)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        name = cleaned.get("name", ANY_NAME)
        # The button that only tests a connection sends the whole form, too.
        kind = cleaned.get("kind") or self.data.get("kind", "")
        # A page that asks for no driver leaves it as it is.
        cleaned["driver"] = cleaned.get("driver") or self.initial.get("driver") or usual_driver(kind)
        driver = cleaned["driver"]
        spec = NodeSpec(
            name,
            cleaned.get("base_url", ""),
            api_auth=self.api_auth(cleaned),
            kind=kind or usual_kind(driver),
            driver=driver,
        )
        for field, problem in spec_problems(spec).items():
            field = "password" if field == "api_auth" and wants_token(driver) else FIELDS.get(field, field)
            if field in self.fields and field not in self.errors:
                self.add_error(field, problem)
        if wants_token(driver):
            if cleaned.get("user"):
                self.add_error("user", "A worker takes a token and no user. Leave the user empty.")
        elif cleaned.get("password") and not cleaned.get("user"):
            self.add_error("user", "There is a password without a user. Give both, as in --api-auth.")
        elif ":" in cleaned.get("user", ""):
            self.add_error("user", "A user name cannot hold a colon; the password goes in its own field.")
        return cleaned

    @property
    def asks_for_driver(self) -> bool:
        """There is a choice, or the node's own driver is not here any more."""
        return len(driver_names()) > 1 or self.initial.get("driver", DEFAULT_DRIVER) not in driver_names()

    @property
    def address_example(self) -> str:
        """How an address looks; templates name no other server."""
        return "http://192.168.1.20:7860"

    @property
    def own_address_example(self) -> str:
        """The same of one that we start, which is on this machine."""
        return "http://127.0.0.1:7860"

    @staticmethod
    def api_auth(cleaned: dict[str, Any]) -> str:
        """user:password as in --api-auth; empty without a user. Of a server that takes a token, that token."""
        if wants_token(cleaned.get("driver", "")):
            return "" if cleaned.get("user") else str(cleaned.get("password", ""))
        return f"{cleaned['user']}:{cleaned.get('password', '')}" if cleaned.get("user") else ""

    @property
    def auth(self) -> tuple[str, str] | None:
        """Of a valid form: what its server asks for."""
        given = self.api_auth(self.cleaned_data)
        if given and wants_token(self.cleaned_data["driver"]):
            return TOKEN_USER, given
        user, separator, password = given.partition(":")
        return (user, password) if separator else None


class WorkForm(forms.Form):
    """What a node takes, and on which graphics card."""

    kind = forms.ChoiceField(label="Takes", choices=WorkKind.choices, initial=WorkKind.IMAGE)
    card = forms.CharField(label="Graphics card", required=False)

    def clean_card(self) -> str:
        card: str = self.cleaned_data["card"]
        if problem := card_problem(card):
            raise forms.ValidationError(problem)
        return card


class AttachForm(AddressForm, WorkForm):
    name = forms.CharField(label="Name")
    driver = forms.ChoiceField(
        label="What runs there",
        required=False,
        choices=lambda: [("", "The usual server for what it takes"), *driver_choices()],
    )

    field_order = ("name", "base_url", "user", "password")


class ChangeForm(AddressForm, WorkForm):
    """Without a user the credentials stay as they are, unless they are to be forgotten."""

    forget = forms.BooleanField(required=False)

    def new_auth(self) -> str | None:
        """Of a valid form: what `change_node` gets; None = as it is."""
        return "" if self.cleaned_data["forget"] else self.api_auth(self.cleaned_data) or None


def change_form(node: Node, data: Mapping[str, Any] | None = None) -> ChangeForm | WorkForm:
    """As the row is now, or as it was filled in; without an address where people cannot change that."""
    initial = {"base_url": node.base_url, "driver": node.driver, "kind": node.kind, "card": node.card}
    if why_not_changed(node):
        work = WorkForm(data, initial=initial)
        if node.driver in driver_names():
            kinds = driver_of(node.driver).kinds
            work.fields["kind"].choices = [one for one in WorkKind.choices if one[0] in kinds]  # type: ignore[attr-defined]
        return work
    form = ChangeForm(data, initial=initial)
    if wants_token(node.driver):
        form.fields["user"].help_text = KEEP_TOKEN if node.api_auth else NO_TOKEN
    else:
        form.fields["user"].help_text = KEEP_CREDENTIALS if node.api_auth else NO_CREDENTIALS
    return form
