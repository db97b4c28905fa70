CREATE TABLE fractal (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance, never used twice
    uuid         TEXT    NOT NULL UNIQUE,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    iterations   INTEGER NOT NULL,
    xa           REAL    NOT NULL,
    xb           REAL    NOT NULL,
    ya           REAL    NOT NULL,
    yb           REAL    NOT NULL,
    c_re         REAL    NOT NULL,
    c_im         REAL    NOT NULL,
    status       TEXT    NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0, -- renders begun, but for those that follow
    crashes      INTEGER NOT NULL DEFAULT 0, -- renders during which the whole process ended
    error        TEXT,
    checksum     TEXT,    -- these four are there exactly when status is 'done'
    size         INTEGER,
    duration     REAL,
    generated_by TEXT,
    created_at   INTEGER NOT NULL, -- milliseconds since 1970
    finished_at  INTEGER
) STRICT;

-- Images are apart, so that a list never drags them through the cache.
CREATE TABLE image (
    id  INTEGER PRIMARY KEY REFERENCES fractal (id) ON DELETE CASCADE,
    png BLOB NOT NULL
) STRICT;

-- What the feeder asks: it stays as small as the queue, however many fractals are done.
CREATE INDEX fractal_waiting ON fractal (id) WHERE status = 'queued';

-- Orders of the gallery and the lists. New rows go to the right end of these, which costs little;
-- an order by coordinates sorts as it reads.
CREATE INDEX fractal_created ON fractal (created_at);
CREATE INDEX fractal_status ON fractal (status, created_at);
CREATE INDEX fractal_finished ON fractal (finished_at);
CREATE INDEX fractal_size ON fractal (size);
CREATE INDEX fractal_duration ON fractal (duration);
