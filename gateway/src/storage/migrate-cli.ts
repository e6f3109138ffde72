// `make db-migrate`: opening a database applies what is missing.
import { parseConfig } from '../config.ts';
import { openDatabase } from './database.ts';

const database = await openDatabase(parseConfig(process.env));
await database.close();
console.log(`The ${database.backend} database is up to date.`);
