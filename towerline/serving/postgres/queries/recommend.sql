-- The $2 best items for user $1, best first.
SELECT item.item_type, item.item_id, item.title, -(item.embedding <#> me.embedding) AS score
FROM towerline.users AS me
CROSS JOIN LATERAL (
    SELECT item_type, item_id, title, embedding
    FROM towerline.items
    ORDER BY embedding <#> me.embedding
    LIMIT $2
) AS item
WHERE me.user_id = $1
ORDER BY score DESC;
