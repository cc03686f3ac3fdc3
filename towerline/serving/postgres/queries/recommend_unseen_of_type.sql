-- The $3 best items of type $2 for user $1 that the user has not interacted with, best first. The setting, which lasts
-- until the end of the transaction, has the index scan continue until enough rows pass the filter.
WITH scan AS MATERIALIZED (
    SELECT set_config('hnsw.iterative_scan', 'strict_order', true) AS iterative
)
SELECT item.item_id, item.title, -(item.embedding <#> me.embedding) AS score
FROM scan
CROSS JOIN towerline.users AS me
CROSS JOIN LATERAL (
    SELECT item_id, title, embedding
    FROM towerline.items
    WHERE item_type = $2 AND item_row <> ALL (me.seen) AND scan.iterative IS NOT NULL
    ORDER BY embedding <#> me.embedding
    LIMIT $3
) AS item
WHERE me.user_id = $1
ORDER BY score DESC;
