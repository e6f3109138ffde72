-- Labels are searched in memory, where they are kept for every answer anyway: measured on 16 384 labels, 3 ms there
-- against 100 ms (PostgreSQL) and 300 ms (PGlite) through these indexes, which every import had to pay for.
DROP INDEX IF EXISTS "feature_labels_words_idx";
DROP INDEX IF EXISTS "feature_labels_parts_idx";
ALTER TABLE "feature_labels" RESET (toast_tuple_target);
