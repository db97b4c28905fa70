-- What was made before there was a choice is classic.
ALTER TABLE fractal ADD COLUMN palette TEXT NOT NULL DEFAULT 'classic';
