-- Where a model or an SAE came from, and the download that brings it.
ALTER TABLE "models" ADD COLUMN "source" TEXT NOT NULL DEFAULT 'manifest', ADD COLUMN "download_id" TEXT;
ALTER TABLE "saes" ADD COLUMN "source" TEXT NOT NULL DEFAULT 'manifest', ADD COLUMN "download_id" TEXT,
    ADD COLUMN "info" JSONB;

-- One row for one thing to download, however often it is asked for.
ALTER TABLE "downloads" ADD COLUMN "key" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    ADD COLUMN "local_path" TEXT, ADD COLUMN "error_code" TEXT;
ALTER TABLE "downloads" ALTER COLUMN "key" DROP DEFAULT;
CREATE UNIQUE INDEX "downloads_key_key" ON "downloads"("key");

-- Documents are kept as they came: text, so that the order of keys and the digits of numbers survive.
ALTER TABLE "profiles" DROP COLUMN "document", ADD COLUMN "document" TEXT,
    ADD COLUMN "format" TEXT NOT NULL DEFAULT 'spec', ADD COLUMN "targets" JSONB NOT NULL DEFAULT '[]',
    ADD COLUMN "warnings" JSONB NOT NULL DEFAULT '[]', ADD COLUMN "intensity_min" DOUBLE PRECISION,
    ADD COLUMN "intensity_max" DOUBLE PRECISION, ADD COLUMN "rung" INTEGER,
    ADD COLUMN "acknowledged" BOOLEAN NOT NULL DEFAULT false, ADD COLUMN "edited" BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN "feature_count" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "profile_features" ADD COLUMN "layer" INTEGER;

-- Who wrote a label: a label that a person typed is never overwritten by an import.
ALTER TABLE "feature_labels" ADD COLUMN "source" TEXT NOT NULL DEFAULT 'import';
-- The long columns move out of the row, so that a scan over labels reads labels.
ALTER TABLE "feature_labels" SET (toast_tuple_target = 128);
CREATE INDEX "feature_labels_words_idx" ON "feature_labels" USING gin (to_tsvector('english', coalesce("label", '')));
-- Parts of words, where the server brings pg_trgm; without it they are found by a scan of one SAE's labels.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX "feature_labels_parts_idx" ON "feature_labels" USING gin ("label" gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'pg_trgm is not available: %', SQLERRM;
END
$$;
