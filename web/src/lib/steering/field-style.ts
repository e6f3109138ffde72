/** A select among the numbers of a row. */
export const selectStyle = 'h-8 min-w-0 rounded-lg border border-line-strong bg-sunken px-2 text-[0.8125rem] text-ink';
