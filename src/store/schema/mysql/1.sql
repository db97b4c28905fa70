-- Definitions commit by themselves here: each is one that can be met half done, and run again.
CREATE TABLE IF NOT EXISTS fractal (
    id           bigint PRIMARY KEY, -- order of acceptance, never used twice: from farm.next_row
    uuid         char(36) NOT NULL UNIQUE,
    width        bigint NOT NULL,
    height       bigint NOT NULL,
    iterations   bigint NOT NULL,
    xa           double NOT NULL,
    xb           double NOT NULL,
    ya           double NOT NULL,
    yb           double NOT NULL,
    c_re         double NOT NULL,
    c_im         double NOT NULL,
    palette      varchar(32) NOT NULL,
    status       varchar(16) NOT NULL,
    attempts     bigint NOT NULL, -- renders begun, but for those that follow
    crashes      bigint NOT NULL, -- renders during which the whole node ended
    node         bigint,          -- who renders it: there exactly when status is 'running'
    lease        char(36),        -- under which it was lent to a worker elsewhere
    error        mediumtext,
    checksum     varchar(128), -- these four are there exactly when status is 'done'
    size         bigint,
    duration     double,
    generated_by text,
    created_at   bigint NOT NULL, -- milliseconds since 1970
    finished_at  bigint,
    KEY fractal_created (created_at, id),
    KEY fractal_status (status, created_at, id),
    KEY fractal_waiting (status, id),
    KEY fractal_finished (finished_at, id),
    KEY fractal_size (size, id),
    KEY fractal_duration (duration, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Images are apart, so that a list never drags them through the cache.
CREATE TABLE IF NOT EXISTS image (
    id  bigint PRIMARY KEY,
    png longblob NOT NULL
) ENGINE = InnoDB;

-- One row. Whoever changes fractals locks it first: changes of all nodes stand in one order.
CREATE TABLE IF NOT EXISTS farm (
    id       bigint PRIMARY KEY,
    next_row bigint NOT NULL,
    queued   bigint NOT NULL,
    running  bigint NOT NULL,
    done     bigint NOT NULL,
    failed   bigint NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO farm VALUES (1, 1, 0, 0, 0, 0);

CREATE TABLE IF NOT EXISTS node (
    id    bigint PRIMARY KEY,
    name  varchar(255) NOT NULL,
    seen  bigint NOT NULL, -- by the database's clock, in milliseconds since 1970
    batch bigint NOT NULL  -- its last transaction, so that it can find out whether that came to pass
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
