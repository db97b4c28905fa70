-- Text is compared by its bytes, whatever the database's own collation.
CREATE TABLE fractal (
    id           bigint PRIMARY KEY, -- order of acceptance, never used twice: from farm.next_row
    uuid         text COLLATE "C" NOT NULL UNIQUE,
    width        bigint NOT NULL,
    height       bigint NOT NULL,
    iterations   bigint NOT NULL,
    xa           double precision NOT NULL,
    xb           double precision NOT NULL,
    ya           double precision NOT NULL,
    yb           double precision NOT NULL,
    c_re         double precision NOT NULL,
    c_im         double precision NOT NULL,
    palette      text COLLATE "C" NOT NULL,
    status       text COLLATE "C" NOT NULL,
    attempts     bigint NOT NULL, -- renders begun, but for those that follow
    crashes      bigint NOT NULL, -- renders during which the whole node ended
    node         bigint,          -- who renders it: there exactly when status is 'running'
    lease        text COLLATE "C", -- under which it was lent to a worker elsewhere
    error        text COLLATE "C",
    checksum     text COLLATE "C", -- these four are there exactly when status is 'done'
    size         bigint,
    duration     double precision,
    generated_by text COLLATE "C",
    created_at   bigint NOT NULL, -- milliseconds since 1970
    finished_at  bigint
);

-- Images are apart, so that a list never drags them through the cache; they are compressed already.
CREATE TABLE image (
    id  bigint PRIMARY KEY,
    png bytea NOT NULL
);
ALTER TABLE image ALTER COLUMN png SET STORAGE EXTERNAL;

-- One row. Whoever changes fractals locks it first: changes of all nodes stand in one order.
CREATE TABLE farm (
    id       bigint PRIMARY KEY,
    next_row bigint NOT NULL,
    queued   bigint NOT NULL,
    running  bigint NOT NULL,
    done     bigint NOT NULL,
    failed   bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO farm VALUES (1, 1, 0, 0, 0, 0);

CREATE TABLE node (
    id    bigint PRIMARY KEY,
    name  text NOT NULL,
    seen  bigint NOT NULL, -- by the database's clock, in milliseconds since 1970
    batch bigint NOT NULL  -- its last transaction, so that it can find out whether that came to pass
) WITH (fillfactor = 10);

CREATE INDEX fractal_waiting ON fractal (id) WHERE status = 'queued';
CREATE INDEX fractal_running ON fractal (id) WHERE status = 'running';
CREATE INDEX fractal_created ON fractal (created_at, id);
CREATE INDEX fractal_status ON fractal (status, created_at, id);
CREATE INDEX fractal_finished ON fractal (finished_at NULLS FIRST, id);
CREATE INDEX fractal_size ON fractal (size NULLS FIRST, id);
CREATE INDEX fractal_duration ON fractal (duration NULLS FIRST, id);
