/** Every call of the dashboard is one that the gateway's own OpenAPI document knows, by method, path and query. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import * as activations from './activations.ts';
import * as downloads from './downloads.ts';
import * as features from './features.ts';
import * as keys from './keys.ts';
import * as labels from './labels.ts';
import * as models from './models.ts';
import * as monitoring from './monitoring.ts';
import * as profiles from './profiles.ts';
import * as saes from './saes.ts';
import * as steering from './steering.ts';
import * as system from './system.ts';

interface Described {
  paths: Record<string, Record<string, { parameters?: { in: string; name: string }[] }>>;
}
const described = JSON.parse(
  readFileSync(new URL('../../../../proto/generated/gateway.json', import.meta.url), 'utf8'),
) as Described;

/** An id that would break a path built by hand. */
const ID = 'a/b c';
const calls: [name: string, call: () => Promise<unknown>][] = [
  ['getHealth', () => system.getHealth()],
  ['getSystem', () => system.getSystem()],
  ['getConfig', () => system.getConfig()],
  ['changeConfig', () => system.changeConfig({ request_log_enabled: true })],
  ['clearRequests', () => system.clearRequests()],
  ['listRequests', () => system.listRequests({ skip: 1, limit: 2, model: 'm', failed: true })],
  ['listModels', () => models.listModels()],
  ['getModel', () => models.getModel(ID)],
  ['previewModel', () => models.previewModel({ repo_id: 'a/b' })],
  ['downloadModel', () => models.downloadModel({ repo_id: 'a/b' })],
  ['importModel', () => models.importModel({ path: '/m' })],
  ['deleteModel', () => models.deleteModel(ID)],
  ...(['load', 'unload', 'cancel', 'lock', 'unlock'] as const).map(
    (action) => [action, () => models.actOnModel(ID, action)] as [string, () => Promise<unknown>],
  ),
  ['listSaes', () => saes.listSaes()],
  ['previewSaes', () => saes.previewSaes({ repo_id: 'a/b' })],
  ['searchRegistry', () => saes.searchRegistry({ search: 'x', skip: 1, limit: 2 })],
  ['downloadSae', () => saes.downloadSae({ repo_id: 'a/b' })],
  ['importSae', () => saes.importSae({ path: '/s' })],
  ['deleteSae', () => saes.deleteSae(ID)],
  ['checkSae', () => saes.checkSae(ID, 4)],
  ['attachSae', () => saes.attachSae(ID)],
  ['detachSae', () => saes.detachSae(ID)],
  ['listFeatures', () => features.listFeatures(ID, { search: 'x' })],
  ['getFeature', () => features.getFeature(ID, 3)],
  ['setLabel', () => features.setLabel(ID, 3, 'sea')],
  ['listKeys', () => keys.listKeys()],
  ['createKey', () => keys.createKey({ name: 'x' })],
  ['renameKey', () => keys.renameKey(ID, 'y')],
  ['revokeKey', () => keys.revokeKey(ID)],
  ['importLabels', () => labels.importLabels(ID, new Blob(['{}']))],
  ['exportLabels', () => labels.exportLabels(ID)],
  ['getSteering', () => steering.getSteering()],
  ['putSteering', () => steering.putSteering({})],
  ['clearSteering', () => steering.clearSteering()],
  ['enableSteering', () => steering.enableSteering(true)],
  ['disableSteering', () => steering.enableSteering(false)],
  ['listDownloads', () => downloads.listDownloads()],
  ['cancelDownload', () => downloads.cancelDownload(ID)],
  ['retryDownload', () => downloads.retryDownload(ID)],
  ['listProfiles', () => profiles.listProfiles()],
  ['getProfile', () => profiles.getProfile(ID)],
  ['createProfile', () => profiles.createProfile({ name: 'x' })],
  ['changeProfile', () => profiles.changeProfile(ID, {})],
  ['deleteProfile', () => profiles.deleteProfile(ID)],
  ['duplicateProfile', () => profiles.duplicateProfile(ID)],
  ['activateProfile', () => profiles.activateProfile(ID)],
  ['deactivateProfile', () => profiles.deactivateProfile()],
  ['saveCurrent', () => profiles.saveCurrent('x')],
  ['exportProfile', () => profiles.exportProfile(ID, 'p1', 2)],
  ['importProfile', () => profiles.importProfile('{}', { on_conflict: 'rename', activate: true })],
  ['readActivations', () => activations.readActivations({ text: 'x' })],
  ['contrastTexts', () => activations.contrastTexts({ a: ['x'], b: ['y'] })],
  ['getMonitor', () => monitoring.getMonitor()],
  ['changeMonitor', () => monitoring.changeMonitor({ paused: true })],
  ['listHistory', () => monitoring.listHistory({ limit: 1 })],
  ['clearHistory', () => monitoring.clearHistory()],
  ['getStatistics', () => monitoring.getStatistics({ sort: 'mean', features: '1,2' })],
];

afterEach(() => void vi.unstubAllGlobals());

describe('calls that the gateway knows', () => {
  it.each(calls)('%s', async (_name, call) => {
    const fetch = vi.fn<typeof globalThis.fetch>(async () => Response.json({ success: true, data: null, error: null }));
    vi.stubGlobal('fetch', fetch);
    await call();
    const [target, init] = fetch.mock.calls[0] ?? [];
    const url = new URL(String(target), 'http://gateway');
    const operation = operationOf(url.pathname, init?.method ?? 'GET');
    expect(operation, `${init?.method} ${url.pathname}`).toBeDefined();
    const known = (operation?.parameters ?? []).filter((item) => item.in === 'query').map((item) => item.name);
    expect(known).toEqual(expect.arrayContaining([...url.searchParams.keys()]));
  });
});

function operationOf(pathname: string, method: string) {
  const matches = Object.keys(described.paths).filter((template) =>
    new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`).test(pathname),
  );
  const exact = matches.find((template) => template === pathname) ?? matches[0];
  return exact === undefined ? undefined : described.paths[exact]?.[method.toLowerCase()];
}
