// Just enough of the ZIP format to read other people's exports, with bounds on everything. Knows nothing of labels.
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { AppError } from '../errors.ts';

export interface ZipLimits {
  entries: number;
  /** Of everything that is read, unpacked. */
  bytes: number;
}

export interface ZipEntry {
  name: string;
  size: number;
  read(): Promise<Buffer>;
}

const inflate = promisify(inflateRaw);
const endMark = 0x06054b50;
const entryMark = 0x02014b50;
const headerMark = 0x04034b50;

/** Lists the entries that `wants`; refuses archives that point outside themselves, whatever is wanted. */
export function openZip(file: Buffer, limits: ZipLimits, wants: (name: string) => boolean): ZipEntry[] {
  const end = endOf(file);
  const count = file.readUInt16LE(end + 10);
  let at = file.readUInt32LE(end + 16);
  if (count === 0xffff || at === 0xffffffff) throw bad('archives in ZIP64 form are not read');
  if (count > limits.entries) throw bad(`it has ${count} entries; ${limits.entries} are accepted`);
  const found: ZipEntry[] = [];
  let total = 0;
  for (let entry = 0; entry < count; entry += 1) {
    if (at + 46 > file.length || file.readUInt32LE(at) !== entryMark) throw bad('its list of entries is broken');
    const [method, packed, size] = [file.readUInt16LE(at + 10), file.readUInt32LE(at + 20), file.readUInt32LE(at + 24)];
    const [nameLength, extraLength, noteLength] = [28, 30, 32].map((offset) => file.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const header = file.readUInt32LE(at + 42);
    const name = file.toString('utf8', at + 46, at + 46 + nameLength);
    if (/^[/\\]|(^|[/\\])\.\.([/\\]|$)|^[a-z]:/i.test(name)) throw bad(`the entry "${name}" leaves the archive`);
    at += 46 + nameLength + extraLength + noteLength;
    if (name.endsWith('/') || !wants(name)) continue;
    total += size;
    if (total > limits.bytes) throw bad(`it unpacks to more than ${limits.bytes} bytes`);
    found.push({ name, size, read: () => readEntry(file, { header, method, packed, size, name }) });
  }
  return found;
}

interface Stored {
  header: number;
  method: number;
  packed: number;
  size: number;
  name: string;
}

async function readEntry(file: Buffer, { header, method, packed, size, name }: Stored): Promise<Buffer> {
  if (header + 30 > file.length || file.readUInt32LE(header) !== headerMark) throw bad(`the entry "${name}" is broken`);
  const start = header + 30 + file.readUInt16LE(header + 26) + file.readUInt16LE(header + 28);
  const data = file.subarray(start, start + packed);
  if (method === 0) return data;
  if (method !== 8) throw bad(`the entry "${name}" is packed in a way that is not read`);
  try {
    return await inflate(data, { maxOutputLength: Math.max(size, 1) });
  } catch (error) {
    throw bad(`the entry "${name}" does not unpack to the ${size} bytes it claims`, error);
  }
}

function endOf(file: Buffer): number {
  for (let at = file.length - 22; at >= 0 && at >= file.length - 22 - 0xffff; at -= 1) {
    if (file.readUInt32LE(at) === endMark) return at;
  }
  throw bad('it has no list of entries');
}

const bad = (why: string, cause?: unknown) =>
  new AppError('VALIDATION_ERROR', `The archive cannot be read: ${why}.`, cause === undefined ? {} : { cause });
