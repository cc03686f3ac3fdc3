-- The $2 users most similar to user $1, most similar first.
SELECT other.user_id, -(other.taste <#> me.taste) AS similarity
FROM towerline.users AS me
CROSS JOIN LATERAL (
    SELECT user_id, taste
    FROM towerline.users
    WHERE user_id <> me.user_id
    ORDER BY taste <#> me.taste
    LIMIT $2
) AS other
WHERE me.user_id = $1
    AND other.taste <#> me.taste < 0
ORDER BY similarity DESC;
