"""Versions of a model: one is live, one is kept, and a rollback exchanges them."""

import pytest

from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import live, made, states, tables
from towerline.serving.errors import ServingError
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish, rollback


def test_versions_of_other_dimensions_follow_each_other_and_one_is_kept(server: Server) -> None:
    first, second, third = (made(seed=seed, dimension=8 + seed) for seed in (1, 2, 3))
    names = Names("versions")
    publish(server.dsn(), first, names)
    server.run("CREATE VIEW versions.films AS SELECT * FROM versions.items WHERE item_type = 'film'")
    for exported in (second, third):
        publish(server.dsn(), exported, names)
        assert live(server, "versions", exported)
        assert server.run("SELECT DISTINCT model_version FROM versions.films") == [(exported.version,)]
    assert states(server, "versions") == {"live": third.version, "previous": second.version}
    kept = {f"{view}_{model.version}" for view in ("users", "items") for model in (second, third)}
    assert tables(server, "versions") == {"models", *kept}
    noted = "SELECT version, dimension, users, items FROM versions.models ORDER BY version"
    assert server.run(noted) == [(second.version, 10, 300, 200), (third.version, 11, 300, 200)]


def test_what_is_live_or_kept_is_not_copied_again(server: Server) -> None:
    first, second = made(seed=1), made(seed=2)
    names = Names("again")
    progress: list[int] = []
    for exported in (first, second):
        publish(server.dsn(), exported, names)
    assert "live already" in publish(server.dsn(), second, names, progress.append)
    assert live(server, "again", second)
    assert "live again" in publish(server.dsn(), first, names, progress.append)
    assert live(server, "again", first)
    assert states(server, "again") == {"live": first.version, "previous": second.version}
    server.run("DROP VIEW again.users")
    assert rollback(server.dsn(), names) == f"{second.version} is live again; {first.version} is kept"
    server.run("DROP VIEW again.users")
    publish(server.dsn(), first, names, progress.append)
    assert live(server, "again", first)
    assert states(server, "again") == {"live": first.version, "previous": second.version}
    assert progress == []


def test_rollback_goes_to_the_previous_version_and_back(server: Server) -> None:
    first, second = made(seed=1), made(seed=2)
    names = Names("back")
    with pytest.raises(ServingError, match="found none; publish one"):
        rollback(server.dsn(), names)
    publish(server.dsn(), first, names)
    with pytest.raises(ServingError, match=f"found only {first.version}"):
        rollback(server.dsn(), names)
    publish(server.dsn(), second, names)
    for exported in (first, second):
        assert exported.version in rollback(server.dsn(), names)
        assert live(server, "back", exported)
        assert states(server, "back")["live"] == exported.version


def test_a_lost_list_of_models_is_made_again_from_the_views(server: Server) -> None:
    first, second, third = (made(seed=seed, dimension=9 + seed) for seed in (1, 2, 3))
    names = Names("lost")
    noted = "SELECT version, state, dimension, users, items FROM lost.models ORDER BY version"
    # None rolls back.
    for published, live_then in ((third, third), (second, second), (first, first), (None, first)):
        server.run("DROP SCHEMA IF EXISTS lost CASCADE")
        for exported in (first, second):
            publish(server.dsn(), exported, names)
        server.run("DROP TABLE lost.models")
        if published is None:
            rollback(server.dsn(), names)
        else:
            publish(server.dsn(), published, names)
        assert live(server, "lost", live_then)
        previous = first if live_then is second else second
        assert states(server, "lost") == {"live": live_then.version, "previous": previous.version}
        kept = {f"{view}_{model.version}" for view in ("users", "items") for model in (live_then, previous)}
        assert tables(server, "lost") == {"models", *kept}
        assert {row[0]: row[2:] for row in server.run(noted)} == {
            model.version: (model.user_embeddings.shape[1], 300, 200) for model in (live_then, previous)
        }
