/** Dark by default, light on request, remembered. The key and the attribute are paired with the script in app.html. */
export type ThemeName = 'dark' | 'light';

const KEY = 'millm:theme';
const CANVAS: Record<ThemeName, string> = { dark: '#0b1018', light: '#f4f7fa' };

export class Theme {
  #name = $state<ThemeName>(document.documentElement.dataset.theme === 'light' ? 'light' : 'dark');

  constructor() {
    paintBrowserChrome(this.#name);
  }

  get name(): ThemeName {
    return this.#name;
  }

  toggle(): void {
    this.#name = this.#name === 'dark' ? 'light' : 'dark';
    document.documentElement.dataset.theme = this.#name;
    paintBrowserChrome(this.#name);
    try {
      localStorage.setItem(KEY, this.#name);
    } catch {
      // storage is blocked: the choice lasts as long as the page
    }
  }
}

function paintBrowserChrome(name: ThemeName): void {
  document.querySelector('meta[name="theme-color"]')?.setAttribute('content', CANVAS[name]);
}
