CREATE TABLE "models" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "repo_id" TEXT NOT NULL,
    "revision" TEXT,
    "path" TEXT,
    "aliases" TEXT[],
    "architecture" TEXT,
    "parameters" BIGINT,
    "context_length" INTEGER,
    "quantization" TEXT,
    "trust_remote_code" BOOLEAN NOT NULL DEFAULT false,
    "size_bytes" BIGINT,
    "status" TEXT NOT NULL DEFAULT 'ready',
    "locked" BOOLEAN NOT NULL DEFAULT false,
    "error" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "models_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "saes" (
    "id" TEXT NOT NULL,
    "repo_id" TEXT,
    "revision" TEXT,
    "path" TEXT,
    "model_id" TEXT,
    "architecture" TEXT,
    "d_in" INTEGER,
    "d_sae" INTEGER,
    "hook" TEXT,
    "layer" INTEGER,
    "overrides" JSONB,
    "size_bytes" BIGINT,
    "status" TEXT NOT NULL DEFAULT 'ready',
    "error" TEXT,
    "labels_hash" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "saes_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "feature_labels" (
    "sae_id" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "label" TEXT,
    "density" DOUBLE PRECISION,
    "max_activation" DOUBLE PRECISION,
    "promoted" JSONB,
    "contexts" JSONB,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "feature_labels_pkey" PRIMARY KEY ("sae_id", "index")
);

CREATE TABLE "desired_state" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "model_id" TEXT,
    "sae_ids" TEXT[],
    "steering" JSONB,
    "steering_enabled" BOOLEAN NOT NULL DEFAULT true,
    "active_profile_id" TEXT,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "desired_state_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "server_settings" (
    "key" TEXT NOT NULL,
    "value" JSONB NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "server_settings_pkey" PRIMARY KEY ("key")
);

CREATE TABLE "profiles" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "model_name" TEXT,
    "sae_id" TEXT,
    "intensity" DOUBLE PRECISION NOT NULL DEFAULT 1,
    "document" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "profiles_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "profile_features" (
    "profile_id" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "sae_id" TEXT,
    "index" INTEGER NOT NULL,
    "op" TEXT NOT NULL DEFAULT 'add',
    "strength" DOUBLE PRECISION,
    "options" JSONB,
    "label" TEXT,
    CONSTRAINT "profile_features_pkey" PRIMARY KEY ("profile_id", "position")
);

CREATE TABLE "downloads" (
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "repo_id" TEXT NOT NULL,
    "revision" TEXT,
    "path" TEXT,
    "state" TEXT NOT NULL,
    "bytes_done" BIGINT NOT NULL DEFAULT 0,
    "bytes_total" BIGINT,
    "error" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "downloads_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "request_log" (
    "id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "endpoint" TEXT NOT NULL,
    "model_name" TEXT NOT NULL,
    "stream" BOOLEAN NOT NULL,
    "status" INTEGER NOT NULL,
    "error_code" TEXT,
    "finish_reason" TEXT,
    "prompt_tokens" INTEGER NOT NULL DEFAULT 0,
    "completion_tokens" INTEGER NOT NULL DEFAULT 0,
    "cached_tokens" INTEGER NOT NULL DEFAULT 0,
    "ttft_ms" DOUBLE PRECISION,
    "duration_ms" DOUBLE PRECISION NOT NULL,
    "steering" TEXT NOT NULL DEFAULT 'none',
    "key_id" TEXT,
    CONSTRAINT "request_log_pkey" PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX "models_name_key" ON "models"("name");
CREATE UNIQUE INDEX "profiles_name_key" ON "profiles"("name");
CREATE INDEX "request_log_at_idx" ON "request_log"("at" DESC);

ALTER TABLE "saes" ADD CONSTRAINT "saes_model_id_fkey"
    FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "feature_labels" ADD CONSTRAINT "feature_labels_sae_id_fkey"
    FOREIGN KEY ("sae_id") REFERENCES "saes"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "profile_features" ADD CONSTRAINT "profile_features_profile_id_fkey"
    FOREIGN KEY ("profile_id") REFERENCES "profiles"("id") ON DELETE CASCADE ON UPDATE CASCADE;
