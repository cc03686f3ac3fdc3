"""The recommender: answers from one export."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.similarity import evidence
from towerline.ranking.user_items import UserItems
from towerline.serving import answers, extending, pairs
from towerline.serving.answers import (
    ItemKey,
    Recommendation,
    SimilarItem,
    SimilarUser,
    Skipped,
    Unknown,
    check_unknown,
)
from towerline.serving.catalogue import Catalogue
from towerline.serving.encoding import encoded_items, encoded_users
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported, live_version, read
from towerline.serving.fold_in import folded_in, unknown_user
from towerline.serving.ids import Item, Items, Users, listed_items, listed_users
from towerline.serving.neighbours import nearest
from towerline.serving.ranking import Candidates, excluding, longest
from towerline.serving.rows import Row, listed_rows


class Recommender:
    """Answers from one export; thread-safe, since it never changes.

    Every answer is exact, best first, equal scores by (type, id). If the export has an index, recommendations from the
    whole catalogue are those that the index finds, with exact scores. Each method for one user or item has a batch
    form, which gives the same answers for many at once, and faster; only the scores for a history may differ in their
    last digit. While it answers, the BLAS of the process is limited to one thread; where calls of several threads
    overlap, the limit may stay.

    An id that is not in the export raises UnknownIdError. With unknown="skip" its answer is an empty list, or NaN among
    scores and ratings, and the other ids of the batch are answered. With unknown="popular", which the methods that
    recommend accept, its answer is the items with the largest popularity prior. Unknown items of a history are ignored;
    only a history without any known item is unknown. unknown_users() and unknown_items() return the unknown ids.

    Ids and items may be any iterable, which is read once; answers are in its order. A k below 1 and arguments of a
    wrong type raise ServingError.
    """

    def __init__(self, exported: Exported, folder: Path | None = None) -> None:
        """
        Args:
          exported: an open export.
          folder: the folder that reload() opens again; None for none.
        """
        self.exported = exported
        self.folder = folder
        self.users = Users(exported.user_ids)
        self.items = Items(exported.item_types, exported.item_ids)
        self.catalogue = Catalogue(exported, self.items)

    @property
    def version(self) -> str:
        """Version of the export: 12 hexadecimal digits."""
        return self.exported.version

    def reload(self) -> "Recommender":
        """Returns a recommender for the live version of the folder: this object if its version is live still.

        This object does not change: calls under way, and questions of one request that belong together, finish on the
        version that they began with. Its files are closed with the last reference to it.

        Raises:
          ServingError: the folder cannot be opened now; this object still answers.

        Examples:
          >>> recommender.reload() is recommender
          True
        """
        if self.folder is None:
            raise ServingError("reload: expected what towerline.open() returned, found one without a folder")
        if live_version(self.folder) == self.version:
            return self
        return Recommender(read(self.folder), self.folder)

    def recommend(
        self,
        user_id: str,
        k: int = 10,
        *,
        item_type: str | None = None,
        exclude_seen: bool = True,
        allow: Iterable[ItemKey] | None = None,
        deny: Iterable[ItemKey] | None = None,
        unknown: Unknown = "error",
    ) -> list[Recommendation]:
        """Recommends the k best items to a user; fewer if fewer are left.

        Args:
          user_id: the user.
          k: number of items, at least 1.
          item_type: recommend items of this type only.
          exclude_seen: leave out the items that the user interacted with, in any split of the data.
          allow: recommend only these (type, id) items; None for all.
          deny: do not recommend these (type, id) items; those that are not in the export are ignored.
          unknown: the answer to an unknown user: "error" raises UnknownIdError, "skip" returns no items, "popular"
            returns the items with the largest popularity prior.

        Examples:
          >>> best = recommender.recommend("u3", k=3, deny=[("film", "0000001")])
          >>> [item.score for item in best] == sorted([item.score for item in best], reverse=True)
          True
          >>> recommender.recommend("u3", k=1, allow=[("book", "0000002")], exclude_seen=False)[0].title
          'Title 2'
        """
        return self.recommend_batch(
            [user_id], k, item_type=item_type, exclude_seen=exclude_seen, allow=allow, deny=deny, unknown=unknown
        )[0]

    def recommend_batch(
        self,
        user_ids: Iterable[str],
        k: int = 10,
        *,
        item_type: str | None = None,
        exclude_seen: bool = True,
        allow: Iterable[ItemKey] | None = None,
        deny: Iterable[ItemKey] | None = None,
        unknown: Unknown = "error",
    ) -> list[list[Recommendation]]:
        """As recommend(), for several users.

        Examples:
          >>> [len(best) for best in recommender.recommend_batch(["u3", "nobody"], k=5, unknown="skip")]
          [5, 0]
        """
        rows = self._user_rows(user_ids, unknown, get_args(Unknown))
        seen = self.exported.seen_by(rows[rows >= 0]) if exclude_seen else None
        queries = self.exported.queries(rows[rows >= 0])
        return self._recommended(queries, seen, rows >= 0, k, item_type, allow, deny, unknown)

    def recommend_for_history(
        self,
        items: Iterable[ItemKey],
        k: int = 10,
        *,
        item_type: str | None = None,
        exclude_seen: bool = True,
        allow: Iterable[ItemKey] | None = None,
        deny: Iterable[ItemKey] | None = None,
        unknown: Unknown = "error",
    ) -> list[Recommendation]:
        """Recommends the k best items to a user who was not in the data, from their history; see folded_in().

        Args:
          items: the (type, id) items that the user interacted with, each counted once, unknown ones ignored; if it is
            empty, popularity alone decides.
          k, item_type, allow, deny: as in recommend().
          exclude_seen: leave these items out.
          unknown: as in recommend(), for a history without any known item.

        Examples:
          >>> history = [("film", "0000001"), ("film", "0000005")]
          >>> best = recommender.recommend_for_history(history, k=4)
          >>> set(history) & {(item.item_type, item.item_id) for item in best}
          set()
        """
        return self.recommend_for_history_batch(
            [items], k, item_type=item_type, exclude_seen=exclude_seen, allow=allow, deny=deny, unknown=unknown
        )[0]

    def recommend_for_history_batch(
        self,
        histories: Iterable[Iterable[ItemKey]],
        k: int = 10,
        *,
        item_type: str | None = None,
        exclude_seen: bool = True,
        allow: Iterable[ItemKey] | None = None,
        deny: Iterable[ItemKey] | None = None,
        unknown: Unknown = "error",
    ) -> list[list[Recommendation]]:
        """As recommend_for_history(), for several histories."""
        check_unknown(unknown, get_args(Unknown))
        history, answered = self.catalogue.histories(histories, unknown)
        queries = folded_in(history, self.exported.item_embeddings, self.exported.temperature)
        excluded = history if exclude_seen else None
        return self._recommended(queries, excluded, answered, k, item_type, allow, deny, unknown)

    def unknown_users(self, user_ids: Iterable[str]) -> list[str]:
        """Returns the ids that are not in the export, in their order.

        Examples:
          >>> recommender.unknown_users(["u3", "nobody"])
          ['nobody']
        """
        ids = listed_users(user_ids)
        return [user_id for user_id, row in zip(ids, self.users.find(ids), strict=True) if row < 0]

    def unknown_items(self, items: Iterable[ItemKey]) -> list[Item]:
        """Returns the (type, id) items that are not in the export, in their order.

        Examples:
          >>> recommender.unknown_items([("film", "0000001"), ("record", "1")])
          [Item(item_type='record', item_id='1')]
        """
        keys = listed_items(items)
        return [item for item, row in zip(keys, self.items.find(keys), strict=True) if row < 0]

    def similar_users(self, user_id: str, k: int = 10, *, unknown: Skipped = "error") -> list[SimilarUser]:
        """Returns the k most similar users, without the user; only similarities above 0.

        The similarity is the cosine of the two users' vectors times n / (n + 5) for each of the two, with n the number
        of items that the user interacted with, so that two users who share their only item are not the most similar
        of all. See towerline.ranking.similarity for the source.

        Examples:
          >>> similar = recommender.similar_users("u3", k=2)
          >>> all(0 < user.similarity < 1 for user in similar)
          True
        """
        return self.similar_users_batch([user_id], k, unknown=unknown)[0]

    def similar_users_batch(
        self, user_ids: Iterable[str], k: int = 10, *, unknown: Skipped = "error"
    ) -> list[list[SimilarUser]]:
        """As similar_users(), for several users."""
        rows = self._user_rows(user_ids, unknown)
        best = nearest(self.exported.user_embeddings, self._longest_user, rows, k, self._evidence)
        return answers.similar_users(self.exported, best)

    def similar_items(
        self, item_type: str, item_id: str, k: int = 10, *, unknown: Skipped = "error"
    ) -> list[SimilarItem]:
        """Returns the k items of any type with the largest cosine, without the item; only cosines above 0.

        Examples:
          >>> [0 < item.cosine < 1.001 for item in recommender.similar_items("film", "0000001", k=2)]
          [True, True]
        """
        return self.similar_items_batch([(item_type, item_id)], k, unknown=unknown)[0]

    def similar_items_batch(
        self, items: Iterable[ItemKey], k: int = 10, *, unknown: Skipped = "error"
    ) -> list[list[SimilarItem]]:
        """As similar_items(), for several items."""
        rows = self._item_rows(items, unknown)
        best = nearest(self.exported.item_embeddings, self.catalogue.longest, rows, k)
        return answers.similar_items(self.exported, best)

    def score(self, user_id: str, items: Iterable[ItemKey], *, unknown: Skipped = "error") -> NDArray[np.float32]:
        """[items] float32: the cosine of user and item plus the item's popularity prior.

        Examples:
          >>> recommender.score("u3", [("film", "0000001"), ("book", "0000002")]).shape
          (2,)
        """
        scores: NDArray[np.float32] = self.score_batch([user_id], items, unknown=unknown)[0]
        return scores

    def score_batch(
        self, user_ids: Iterable[str], items: Iterable[ItemKey], *, unknown: Skipped = "error"
    ) -> NDArray[np.float32]:
        """[users, items] float32, as score()."""
        return pairs.scores(self.exported, self._user_rows(user_ids, unknown), self._item_rows(items, unknown))

    def predict_rating(
        self, user_id: str, items: Iterable[ItemKey], *, unknown: Skipped = "error"
    ) -> NDArray[np.float32]:
        """[items] float32 ratings in the unit of the data, not clipped to its range.

        Raises:
          ServingError: the model was trained without the rating task.

        Examples:
          >>> recommender.predict_rating("u3", [("film", "0000001")]).dtype
          dtype('float32')
        """
        ratings: NDArray[np.float32] = self.predict_rating_batch([user_id], items, unknown=unknown)[0]
        return ratings

    def predict_rating_batch(
        self, user_ids: Iterable[str], items: Iterable[ItemKey], *, unknown: Skipped = "error"
    ) -> NDArray[np.float32]:
        """[users, items] float32, as predict_rating()."""
        model = self.exported.ratings
        if model is None:
            raise ServingError(
                "predict_rating: expected a model with the rating task, found one without; set train.rating_weight "
                "above 0 and run dvc repro"
            )
        users, rows = self._user_rows(user_ids, unknown), self._item_rows(items, unknown)
        return pairs.ratings(model, users, rows)

    def encode_items(self, rows: Iterable[Row]) -> NDArray[np.float32]:
        """[rows, d] float32 embeddings of items from their features, as the export has them for items without rows.

        Args:
          rows: for each item, the column's name -> the value of the columns that train.item_features declares: text, a
            number, which is read as text, or None if it is missing. Other columns are ignored.

        Raises:
          ServingError: the export has no features of items, or a declared column is in none of the rows.

        Examples:
          >>> recommender.encode_items([{"title": "Title 7", "year": 2001, "genres": "Drama"}]).shape
          (1, 10)
        """
        return encoded_items(self.exported, listed_rows(rows))

    def encode_users(self, rows: Iterable[Row]) -> NDArray[np.float32]:
        """[rows, d] float32 embeddings of users from the columns of train.user_features; as encode_items()."""
        return encoded_users(self.exported, listed_rows(rows))

    def with_items(self, rows: Iterable[Row]) -> "Recommender":
        """Returns a recommender that also knows new items, with the embeddings of encode_items().

        Nobody has seen them, and their predicted ratings are those of an item without ratings. The version is a digest
        of this one, and of the ids, titles and embeddings of the new items. An index is built anew. There is no folder
        to reload(): reload this recommender, and add the items again.

        Args:
          rows: as of encode_items(), with item_type and item_id, and the title where there is one.

        Raises:
          ServingError: as encode_items(), or an item has no usable id, is known already, or is there twice.

        Examples:
          >>> new = {"item_type": "film", "item_id": "new", "title": "A new film", "year": 2001, "genres": "Drama"}
          >>> extended = recommender.with_items([new])
          >>> [item.title for item in extended.recommend("u3", allow=[("film", "new")])]
          ['A new film']
          >>> extended.version != recommender.version
          True
        """
        return Recommender(extending.with_items(self.exported, listed_rows(rows)))

    def with_users(self, rows: Iterable[Row]) -> "Recommender":
        """Returns a recommender that also knows new users, with the embeddings of encode_users(); as with_items().

        Args:
          rows: as of encode_users(), with user_id.
        """
        return Recommender(extending.with_users(self.exported, listed_rows(rows)))

    def _user_rows(
        self, user_ids: Iterable[str], unknown: str, allowed: Sequence[str] = get_args(Skipped)
    ) -> NDArray[np.int32]:
        """[queries] int32 rows, -1 for an unknown user where that is no error."""
        check_unknown(unknown, allowed)
        ids = listed_users(user_ids)
        return self.users.rows(ids) if unknown == "error" else self.users.find(ids)

    def _item_rows(self, items: Iterable[ItemKey], unknown: str) -> NDArray[np.int32]:
        """[queries] int32 rows, -1 for an unknown item where that is no error."""
        check_unknown(unknown, get_args(Skipped))
        keys = listed_items(items)
        return self.items.rows(keys) if unknown == "error" else self.items.find(keys)

    def _recommended(
        self,
        queries: NDArray[np.float32],
        seen: UserItems | None,
        answered: NDArray[np.bool_],
        k: int,
        item_type: str | None,
        allow: Iterable[ItemKey] | None,
        deny: Iterable[ItemKey] | None,
        unknown: Unknown,
    ) -> list[list[Recommendation]]:
        """Recommendations for the query vectors, with the answers to unknown users in their places.

        Args:
          queries: [known, d] float32.
          seen: row r holds the rows that are excluded for query r; None for none.
          answered: [asked] bool, True for those with a query vector.
          k, item_type, allow, deny, unknown: as in recommend().
        """
        candidates, denied = self.catalogue.candidates(item_type, allow), self.catalogue.denied(deny)
        excluded = excluding(UserItems.none(len(queries)) if seen is None else seen, denied)
        of_known = answers.recommendations(self.exported, self.catalogue.best(queries, candidates, excluded, k))
        if len(queries) == len(answered):
            return of_known
        of_unknown = self._popular(candidates, denied, k) if unknown == "popular" else []
        rest = iter(of_known)
        return [next(rest) if known else list(of_unknown) for known in answered]

    def _popular(self, candidates: Candidates | None, denied: NDArray[np.int32], k: int) -> list[Recommendation]:
        """The items with the largest popularity prior, by exact search."""
        query = unknown_user(self.exported.item_embeddings.shape[1])
        excluded = excluding(UserItems.none(1), denied)
        best = self.catalogue.best(query, candidates or self.catalogue.everything, excluded, k)
        return answers.recommendations(self.exported, best, "popularity")[0]

    @cached_property
    def _longest_user(self) -> float:
        return longest(self.exported.user_embeddings)

    @cached_property
    def _evidence(self) -> NDArray[np.float32]:
        return evidence(self.exported.seen.counts())
