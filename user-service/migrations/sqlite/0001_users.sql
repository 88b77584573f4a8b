-- SQLite's own collation is bytewise already. IF NOT EXISTS: two processes may meet here.
CREATE TABLE IF NOT EXISTS users (
    id           TEXT    NOT NULL PRIMARY KEY,
    display_name TEXT    NOT NULL,
    email        TEXT    NOT NULL,
    country_code TEXT    NOT NULL,
    create_time  INTEGER NOT NULL -- microseconds since the epoch
) STRICT, WITHOUT ROWID;
