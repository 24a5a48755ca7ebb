"""Profiles as pydantic models: what fits, what does not, and what other models have stored."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from test_secrets import seen

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    RedisMemory,
    RetryPolicy,
    StorageUnavailable,
    UnstorableError,
)

KEY = "agent:profile:alice"
SECRET = "words of a user 4711"


@pytest.fixture
async def of(server):
    """The profile of a user as a model."""
    async with RedisMemory.from_url(server.url) as memory:
        yield lambda model: memory.profile("alice", model=model)


@pytest.fixture
def kept(server):
    """Reads what is stored, as another program would, or stores it so."""

    def kept(*value):
        return server.client.set(KEY, json.dumps(*value)) if value else json.loads(stored())

    def stored():
        return server.client.get(KEY)

    return kept


class Address(BaseModel):
    """Where somebody lives."""

    city: str = "Bern"
    floor: int = 0


class Person(BaseModel):
    """What is known of somebody; nothing needs to be."""

    language: str = "English"
    age: int | None = None
    theme: Literal["dark", "light"] = "light"
    address: Address = Address()
    scores: dict[str, list[int]] = {}


class Named(BaseModel):
    """Somebody whose name must be known."""

    name: str
    age: int = Field(ge=0)


# What fits


async def test_a_model_is_given_and_taken(of, do, kept):
    """By every method; when there is no profile, with its defaults."""
    profile = of(Person)
    assert await do(profile, "get") == Person()
    assert await do(profile, "exists") is False
    await do(profile, "set", Person(language="Deutsch", age=2**70))
    assert await do(profile, "get") == Person(language="Deutsch", age=2**70)
    found = await do(profile, "update", {"age": None, "address": {"floor": 3}})
    assert found == Person(language="Deutsch", address=Address(floor=3))

    def move(person):
        person.address.city = "Basel"

    assert (await do(profile, "modify", move)).address == Address(city="Basel", floor=3)
    found = await do(profile, "modify", lambda person: person.model_copy(update={"age": 7}))
    assert found == Person(language="Deutsch", age=7, address=Address(city="Basel", floor=3))
    assert kept() == found.model_dump()
    await do(profile, "delete")
    assert await do(profile, "get") == Person()


async def test_each_reader_gets_a_model_of_its_own(of, do):
    """Nothing that is done to it reaches the profile, or another one."""
    profile = of(Person)
    given = Person()
    for name, argument in (("set", given), ("modify", lambda _: given)):
        found = await do(profile, name, argument) or await do(profile, "get")
        found.scores["a"] = [1]
        assert given == Person()
        assert await do(profile, "get") == Person()


class Colour(Enum):
    RED = "red"


class Everything(BaseModel):
    """What JSON has no types for, taken by the letter."""

    model_config = ConfigDict(strict=True)

    when: datetime = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=-3)))
    day: date = date(2026, 1, 2)
    span: timedelta = timedelta(days=1, microseconds=1)
    exact: Decimal = Decimal("0.10000000000000000000000000001")
    number: float = 0.1
    large: int = 2**200
    colour: Colour = Colour.RED
    id: UUID = UUID(int=7)
    data: bytes = b"bytes"
    pair: tuple[int, str] = (1, "a")
    names: frozenset[str] = frozenset({"a", "b"})
    by_day: dict[date, int] = {date(2026, 1, 2): 1}
    text: str = "Grüße 🙂"
    nothing: None = None
    anything: Any = None


async def test_values_of_any_type_come_back_equal(of, do):
    """Also for a model that is strict about them."""
    profile = of(Everything)
    value = Everything(anything={"a": [1, 2**90, None]})
    await do(profile, "set", value)
    assert await do(profile, "get") == value
    assert await do(profile, "update", {"number": 0.2}) == value.model_copy(update={"number": 0.2})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(Person))
def test_any_model_comes_back_equal(memory, person):
    """Whatever its fields hold."""
    profile = memory.profile("alice", model=Person)
    profile.set(person)
    assert profile.get() == person
    assert profile.modify(lambda _: person) == person
    assert profile.update({"language": "x"}) == person.model_copy(update={"language": "x"})


class Renamed(BaseModel):
    """Fields have other names in Redis."""

    mother_tongue: str = Field("English", alias="motherTongue")
    old: int = Field(0, validation_alias=AliasChoices("old", "older"))


async def test_fields_are_stored_by_their_aliases(of, do, kept):
    """And patches name them by these."""
    profile = of(Renamed)
    await do(profile, "set", Renamed(motherTongue="Deutsch"))
    assert kept() == {"motherTongue": "Deutsch", "old": 0}
    assert (await do(profile, "update", {"motherTongue": "Dansk"})).mother_tongue == "Dansk"
    kept({"older": 5})
    assert (await do(profile, "get")).old == 5


class Derived(BaseModel):
    """Not all that it has is stored."""

    model_config = ConfigDict(extra="forbid")

    first: str = "A"
    secret: str = Field("", exclude=True)
    _seen: object = PrivateAttr(default_factory=object)

    @computed_field
    @property
    def initial(self) -> str:
        return self.first[0]

    @cached_property
    def twice(self) -> str:
        return self.first * 2


async def test_what_is_derived_is_not_stored(of, do, kept):
    """Nor are private attributes; a field that would be lost is refused."""
    profile = of(Derived)
    value = Derived(first="Bob")
    assert value.twice == "BobBob"
    await do(profile, "set", value)
    assert kept() == {"first": "Bob"}
    assert (await do(profile, "get")).initial == "B"
    with pytest.raises(UnstorableError, match="does not read it as it writes it") as raised:
        await do(profile, "set", Derived(secret=SECRET))
    assert raised.value.field == "profile.secret"


async def test_a_root_model_may_be_an_object(of, do):
    """And nothing else."""
    objects, lists = of(RootModel[dict[str, int]]), of(RootModel[list[int]])
    await do(objects, "set", RootModel[dict[str, int]]({"a": 1}))
    assert (await do(objects, "update", {"b": 2})).root == {"a": 1, "b": 2}
    with pytest.raises(UnstorableError, match="a JSON object, so give a dict, not a list"):
        await do(lists, "set", RootModel[list[int]]([1]))


async def test_a_dict_is_made_into_the_model(of, do, kept):
    """If it fits."""
    profile = of(Named)
    await do(profile, "set", {"age": 3, "name": "Bob"})
    assert kept() == {"name": "Bob", "age": 3}
    assert await do(profile, "modify", lambda p: {"name": p.name, "age": 4}) == Named(
        name="Bob", age=4
    )
    with pytest.raises(UnstorableError, match=r"profile\.age cannot be stored: Input should be"):
        await do(profile, "set", {"age": -3, "name": "Bob"})


# What does not fit


@pytest.mark.parametrize(
    ("patch", "field", "reason"),
    [
        ({"language": None, "age": "seven"}, "profile.age", "valid integer"),
        ({"theme": "pink"}, "profile.theme", "'dark' or 'light'"),
        ({"address": "Bern"}, "profile.address", "an object"),
        ({"address": {"floor": [1]}}, "profile.address.floor", "valid integer"),
        ({"scores": {"a b": [1, "x"]}}, "profile.scores['a b'][1]", "valid integer"),
        ({"age": "x", "language": 1}, "profile.language", "valid string; also wrong: profile.age"),
    ],
)
async def test_a_patch_that_breaks_the_model_is_refused(of, do, patch, field, reason):
    """With the field, and nothing changes; so is a model that was changed past its validators."""
    profile = of(Person)
    await do(profile, "set", Person(age=6))
    with pytest.raises(UnstorableError, match=reason) as raised:
        await do(profile, "update", patch)
    assert raised.value.field == field

    def spoil(person):
        for name, value in patch.items():
            if value is not None:
                setattr(person, name, value)

    with pytest.raises(UnstorableError, match=reason) as raised:
        await do(profile, "modify", spoil)
    assert raised.value.field == field
    assert await do(profile, "get") == Person(age=6)


class Flat(Address):
    """More than an address."""

    number: int


class Child(Person):
    """More than a person."""

    toy: str = "bear"


@pytest.mark.parametrize("value", [None, "text", [], Address(), Child(), Person, object()])
async def test_what_is_not_the_model_is_refused(of, do, kept, value):
    """Also a subclass, which would not come back as one."""
    profile = of(Person)
    await do(profile, "set", Person(age=6))
    with pytest.raises(UnstorableError, match="it must be a Person, not a"):
        await do(profile, "set", value)
    with pytest.raises(UnstorableError, match="it must be a Person, not a"):
        await do(profile, "modify", lambda _: value or 0)
    assert kept() == Person(age=6).model_dump()


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        (Person(address=Flat(number=1)), "address", "does not read it as it writes it"),
        (Everything(anything=(1, 2)), "anything", "does not read it as it writes it"),
        (Everything(anything=object()), "anything", "pydantic cannot write it"),
        (Everything(data=b"\xff"), "data", "pydantic cannot write it"),
        (Everything.model_construct(text="\ud800"), "", "json_invalid|cannot write"),
    ],
    ids=["subclass", "tuple", "object", "bytes", "surrogate"],
)
async def test_what_would_not_come_back_equal_is_refused(of, do, value, field, reason):
    """By its field."""
    profile = of(type(value))
    with pytest.raises(UnstorableError, match=reason) as raised:
        await do(profile, "set", value)
    assert raised.value.field.startswith(f"profile.{field}" if field else "profile")
    assert await do(profile, "exists") is False


async def test_numbers_that_json_has_not_are_refused(of, do):
    """By their place, in a model too."""
    with pytest.raises(UnstorableError, match="no NaN") as raised:
        await do(of(Everything), "set", Everything(number=float("nan")))
    assert raised.value.field == "profile['number']"


async def test_an_absent_profile_may_not_make_a_model(of, do, server):
    """Then reads say so; what is set, or a patch with all that is needed, begins it."""
    profile = of(Named)
    for name, arguments in (("get", ()), ("modify", (lambda person: person,))):
        with pytest.raises(ConfigurationError, match=rf"no profile '{KEY}' yet, .*profile\.name"):
            await do(profile, name, *arguments)
    with pytest.raises(UnstorableError, match=r"profile\.age cannot be stored: Field required"):
        await do(profile, "update", {"name": "Bob"})
    assert await do(profile, "exists") is False
    assert await do(profile, "update", {"name": "Bob", "age": 3}) == Named(name="Bob", age=3)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"age": SECRET}, "it does not fit Person: profile.age: Input should be a valid integer"),
        ({"address": {"city": [SECRET]}}, "profile.address.city: Input should be a valid string"),
        ([SECRET], "it is a list, not a JSON object"),
    ],
)
async def test_what_is_stored_and_does_not_fit_is_told(of, do, kept, stored, reason):
    """With the key and the field; it is left as it is, and a patch can repair it."""
    profile = of(Person)
    kept(stored)
    for name, arguments in (("get", ()), ("modify", (lambda person: person,))):
        with pytest.raises(CorruptedDataError, match=reason) as raised:
            await do(profile, name, *arguments)
        assert SECRET not in seen(raised.value)
    assert kept() == stored
    if isinstance(stored, dict):
        assert await do(profile, "update", dict.fromkeys(stored)) == Person()


@pytest.mark.parametrize(
    "model", [dict, int, Person(language=SECRET), "Person", list[int], BaseModel | None]
)
def test_what_is_no_model_is_refused(memory, model):
    """When the profile is asked for."""
    with pytest.raises(ConfigurationError, match="model must be a pydantic model") as raised:
        memory.profile("alice", model=model)
    assert SECRET not in str(raised.value)


# Other models


class Newer(Person):
    """What another version of the application stores."""

    address: Address = Address()
    hobby: str = "chess"


async def test_fields_of_another_version_are_kept(of, do, kept):
    """By update and modify, in their places; set replaces all."""
    older = of(Person)
    kept({"hobby": "go", **Person(age=1).model_dump(), "pet": {"name": "Rex"}})
    assert await do(older, "modify", lambda person: person.model_copy(update={"age": 2})) == Person(
        age=2
    )
    assert list(kept()) == ["hobby", *Person.model_fields, "pet"]
    assert kept() == {"hobby": "go", **Person(age=2).model_dump(), "pet": {"name": "Rex"}}
    await do(older, "update", {"pet": {"age": 1}, "address": {"street": "x"}})
    assert kept()["pet"] == {"name": "Rex", "age": 1}
    assert kept()["address"] == {"city": "Bern", "floor": 0, "street": "x"}
    assert (await do(of(Newer), "get")).hobby == "go"
    await do(older, "set", Person())
    assert kept() == Person().model_dump()


async def test_a_model_that_forbids_other_fields_refuses_them(of, do, kept):
    """Those that are stored, and those of a patch."""
    profile = of(Derived)
    await do(profile, "set", Derived())
    with pytest.raises(UnstorableError, match=r"profile\.frist cannot be stored: Extra inputs"):
        await do(profile, "update", {"frist": "B"})
    kept({"first": "A", "pet": 1})
    with pytest.raises(CorruptedDataError, match=r"profile\.pet: Extra inputs are not permitted"):
        await do(profile, "get")


class Open(BaseModel):
    """Takes whatever comes."""

    model_config = ConfigDict(extra="allow")

    name: str = "A"


async def test_a_model_that_allows_other_fields_has_them(of, do, kept):
    """They come back, and go when they are removed; also those that are named as its methods."""
    profile = of(Open)
    await do(profile, "set", Open(copy="a", pet=[1]))
    assert await do(profile, "get") == Open(copy="a", pet=[1])

    def remove(value):
        del value.pet

    assert await do(profile, "modify", remove) == Open(copy="a")
    assert kept() == {"name": "A", "copy": "a"}
    with pytest.raises(UnstorableError, match="does not read it as it writes it") as raised:
        await do(profile, "set", Open(pet=(1,)))
    assert raised.value.field == "profile.pet"


# Secrets


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Talkative(BaseModel):
    """Its validators and serializers quote what they are given."""

    first: str = ""
    second: str = ""
    third: str = ""
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    id: UUID | None = None
    written: str = ""

    @field_validator("first")
    @classmethod
    def check_first(cls, value):
        if value:
            raise ValueError(f"not {value}")
        return value

    @field_validator("second")
    @classmethod
    def check_second(cls, value):
        assert not value, f"not {value}"
        return value

    @field_validator("third")
    @classmethod
    def check_third(cls, value):
        if value:
            raise PydanticCustomError("odd", "not {it}", {"it": value})
        return value

    @field_serializer("written")
    def write(self, value):
        if value:
            raise ValueError(f"not {value}")
        return value

    @model_validator(mode="after")
    def check(self):
        if self.pet == Dog():
            raise ValueError(f"not {SECRET}")
        return self


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"first": SECRET}, "profile.first"),
        ({"second": SECRET}, "profile.second"),
        ({"third": SECRET}, "profile.third"),
        ({"pet": {"kind": SECRET}}, "profile.pet"),
        ({"id": SECRET}, "profile.id"),
        ({"pet": {"kind": "dog"}}, "profile"),
        ({"pet": SECRET}, "profile.pet"),
        ({"first": [SECRET]}, "profile.first"),
    ],
)
async def test_no_error_quotes_a_value(of, do, kept, value, field):
    """Neither in its text nor in what led to it; and nothing warns."""
    profile = of(Talkative)
    for name, argument in (
        ("update", value),
        ("set", Talkative.model_construct(**value)),
        ("modify", lambda _: Talkative.model_construct(**value)),
    ):
        with pytest.raises(UnstorableError) as raised:
            await do(profile, name, argument)
        assert SECRET not in seen(raised.value)
        assert raised.value.field == field
    kept(value)
    with pytest.raises(CorruptedDataError) as raised:
        await do(profile, "get")
    assert SECRET not in seen(raised.value)
    assert field in str(raised.value)


async def test_no_error_quotes_what_cannot_be_written(of, do):
    """As a serializer may."""
    with pytest.raises(UnstorableError) as raised:
        await do(of(Talkative), "set", Talkative(written=SECRET))
    assert SECRET not in seen(raised.value)
    assert raised.value.field == "profile.written"


class Aliased(BaseModel):
    first: str = Field(alias="firstName")

    model_config = ConfigDict(populate_by_name=True)


async def test_without_redis_a_model_that_cannot_be_empty_is_unavailable(do, tmp_path):
    """It is not the caller's fault, and nothing can stand for what is stored."""
    url = f"unix://{tmp_path}/nobody.sock"
    retry = RetryPolicy(deadline=0.2)
    async with RedisMemory.from_url(url, on_unavailable="stateless", retry=retry) as memory:
        profile = memory.profile("alice", model=Aliased)
        for call in (
            do(profile, "get"),
            do(profile, "update", {"firstName": "Bob"}),
            do(profile, "modify", lambda person: person),
        ):
            with pytest.raises(StorageUnavailable, match="Redis is away"):
                await call


async def test_a_patch_names_fields_as_they_are_stored(memory, do):
    """A name that the model alone knows would be stored beside the field, and change nothing."""
    profile = memory.profile("alice", model=Aliased)
    await do(profile, "set", Aliased(first="Ann"))
    with pytest.raises(UnstorableError, match=r"profile\.first.*'firstName'"):
        await do(profile, "update", {"first": "Bob"})
    assert (await do(profile, "update", {"firstName": "Bob"})).first == "Bob"
