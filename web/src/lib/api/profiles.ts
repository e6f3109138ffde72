/** Saved steering: kept, changed, put to use, and carried between servers. */
import { path, queryOf, request, requestWhole } from './client.ts';
import type {
  Profile,
  ProfileChange,
  ProfileDetail,
  ProfileFormat,
  ProfileImportReport,
  ProfileRequest,
} from './types.ts';

const IMPORT_MS = 60_000;

export function listProfiles(signal?: AbortSignal): Promise<Profile[]> {
  return request('/api/profiles', { signal });
}

export function getProfile(id: string, signal?: AbortSignal): Promise<ProfileDetail> {
  return request(path`/api/profiles/${id}`, { signal });
}

export function createProfile(profile: ProfileRequest): Promise<ProfileDetail> {
  return request('/api/profiles', { method: 'POST', body: profile });
}

export function changeProfile(id: string, change: ProfileChange): Promise<ProfileDetail> {
  return request(path`/api/profiles/${id}`, { method: 'PATCH', body: change });
}

export function deleteProfile(id: string): Promise<{ profile_id: string; was_active: boolean }> {
  return request(path`/api/profiles/${id}`, { method: 'DELETE' });
}

export function duplicateProfile(id: string, name?: string): Promise<ProfileDetail> {
  return request(path`/api/profiles/${id}/duplicate`, { method: 'POST', body: name ? { name } : {} });
}

export interface Activation {
  profile_id: string;
  applied_steering: boolean;
  feature_count: number;
  warnings: string[];
  profile: ProfileDetail;
}

export function activateProfile(id: string, acknowledgeUnvalidated = false): Promise<Activation> {
  const body = acknowledgeUnvalidated ? { acknowledge_unvalidated: true } : {};
  return request(path`/api/profiles/${id}/activate`, { method: 'POST', body });
}

export function deactivateProfile(): Promise<{ profile_id: string | null; cleared_steering: boolean }> {
  return request('/api/profiles/deactivate', { method: 'POST', body: {} });
}

export function saveCurrent(name: string, description?: string): Promise<ProfileDetail> {
  return request('/api/profiles/save-current', { method: 'POST', body: { name, description } });
}

export interface ProfileDocument {
  data: Record<string, unknown>;
  /** What this format has no words for. */
  left_out: string[];
}

/** The document as it would be written to a file; without a format, in the form it came in. */
export function exportProfile(id: string, format?: ProfileFormat, layer?: number): Promise<ProfileDocument> {
  return requestWhole(path`/api/profiles/${id}/export` + queryOf({ format, layer }));
}

export interface ImportChoices {
  activate?: boolean;
  acknowledge_unvalidated?: boolean;
  on_conflict?: 'rename' | 'fail';
  on_invalid?: 'refuse' | 'skip';
  sae_id?: string;
}

/** `text` is what a file held, untouched: its content says which of the formats it is. */
export function importProfile(text: string, choices: ImportChoices = {}): Promise<ProfileImportReport> {
  return request(`/api/profiles/import${queryOf({ ...choices })}`, {
    method: 'POST',
    file: text,
    timeoutMs: IMPORT_MS,
  });
}
