-- Pages follow the order of the ids: bytewise, whatever the locale of the cluster.
CREATE TABLE users (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT   NOT NULL,
    email        TEXT   NOT NULL,
    country_code TEXT   NOT NULL,
    create_time  BIGINT NOT NULL -- microseconds since the epoch
);
