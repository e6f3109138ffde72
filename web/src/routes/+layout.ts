// A client-only app: it talks to the gateway that serves it, and there is no server of its own.
export const ssr = false;
