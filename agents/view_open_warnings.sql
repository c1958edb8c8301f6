-- The latest step of each episode that has not ended. A digest is no step of an episode.
-- Columns: those of v_warning_history.

CREATE OR REPLACE VIEW v_open_warnings AS
SELECT *
FROM
(
    SELECT *
    FROM v_warning_history
    WHERE transition != 'DIGEST'
    ORDER BY offset DESC
    LIMIT 1 BY episode_id
)
WHERE transition != 'CLEARED';
