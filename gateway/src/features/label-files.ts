// The bytes somebody uploaded → labels: plain or packed, lines or a document or an archive, told apart by their content.
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { AppError } from '../errors.ts';
import { fromArchive, fromDocument, fromLines } from './labels.ts';
import type { LabelSet } from './labels.ts';
import { openZip } from './zip.ts';
import type { ZipEntry } from './zip.ts';

const unpack = promisify(gunzip);
/** Unpacked, of one upload. */
export const largestUnpacked = 512 * 1024 * 1024;
const mostEntries = 200_000;
const together = 64;

export async function readLabels(bytes: Buffer): Promise<LabelSet> {
  if (bytes.length === 0) throw new AppError('VALIDATION_ERROR', 'The file is empty.');
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return readText((await gunzipped(bytes)).toString('utf8'));
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return readArchive(bytes);
  return readText(bytes.toString('utf8'));
}

function readText(text: string): LabelSet {
  const document = parsed(text);
  return document === undefined ? fromLines(text) : isRow(document) ? fromLines(text) : fromDocument(document);
}

/** A file of one line is a document too: a row of its own is told by what it has. */
const isRow = (value: unknown) => value !== null && typeof value === 'object' && 'index' in value;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function gunzipped(bytes: Buffer): Promise<Buffer> {
  try {
    return await unpack(bytes, { maxOutputLength: largestUnpacked });
  } catch (error) {
    throw new AppError('VALIDATION_ERROR', 'The file cannot be unpacked, or is too large unpacked.', { cause: error });
  }
}

const isWanted = (name: string) =>
  /(^|\/)(metadata\.json|explanations\/explanations\.json|features\/\d+\.json)$/.test(name);

async function readArchive(bytes: Buffer): Promise<LabelSet> {
  const entries = openZip(bytes, { entries: mostEntries, bytes: largestUnpacked }, isWanted);
  const named = (end: string) => entries.find(({ name }) => name === end || name.endsWith(`/${end}`));
  const features = entries.filter(({ name }) => /features\/\d+\.json$/.test(name));
  const contents: unknown[] = [];
  for (let from = 0; from < features.length; from += together) {
    contents.push(...(await Promise.all(features.slice(from, from + together).map(json))));
  }
  return fromArchive(await json(named('metadata.json')), await json(named('explanations/explanations.json')), contents);
}

async function json(entry: ZipEntry | undefined): Promise<unknown> {
  if (!entry) return null;
  try {
    return JSON.parse((await entry.read()).toString('utf8'));
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('VALIDATION_ERROR', `${entry.name} in the archive is not valid JSON.`, { cause: error });
  }
}
