package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
)

// browser finds Chromium: MILLRACE_CHROMIUM, or one on the PATH. CI needs one.
func browser(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if own := os.Getenv("MILLRACE_CHROMIUM"); own != "" {
		names = []string{own}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
		t.Fatal("there is no Chromium: install it, or name it in MILLRACE_CHROMIUM")
	}
	t.Skip("left out, since there is no Chromium: install it, or name it in MILLRACE_CHROMIUM")
	return ""
}

// frame shows a report as wide as a phone or a screen is, and tells the test what
// it measures: whether anything is cut off or must be scrolled to sideways, and the
// text of least contrast with what is behind it.
const frame = `<!doctype html><meta name="color-scheme" content="light dark"><body style="margin:0">
<script>
const q = new URLSearchParams(location.search), f = document.createElement("iframe");
f.style = "border:0;display:block;width:" + q.get("width") + "px;height:900px";
f.src = "/" + q.get("report");
document.body.append(f);
function rgba(c) { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; }
function light(c) { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; }
f.onload = () => {
  const d = f.contentDocument, w = f.contentWindow, out = {wide: [], least: 99, text: ""};
  const behind = e => { for (; e; e = e.parentElement) { const c = rgba(w.getComputedStyle(e).backgroundColor); if (c[3] == 1) return c.slice(0, 3); } return [255, 255, 255]; };
  out.tables = [...d.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth).length;
  out.scroll = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  out.ground = light(behind(d.querySelector("main")));
  for (const e of d.querySelectorAll("main *")) {
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > w.innerWidth + 1 || box.left < -1) && !e.closest(".scroll")) out.wide.push(e.tagName + " " + e.textContent.slice(0, 40));
    const svg = e.namespaceURI.endsWith("svg"), own = [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim());
    if (!own || !box.width || e.tagName == "SCRIPT") continue;
    const s = w.getComputedStyle(e), a = light(rgba(svg ? s.fill : s.color).slice(0, 3)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < out.least) { out.least = ratio; out.text = e.textContent.slice(0, 40) + " in " + (svg ? s.fill : s.color); }
  }
  f.style.height = d.documentElement.scrollHeight + "px";
  const r = new XMLHttpRequest();
  r.open("POST", "/measured" + location.search, false);
  r.send(JSON.stringify(out));
};
</script>`

// measure is what the frame tells.
type measure struct {
	Scroll int      // pixels to scroll sideways
	Wide   []string // elements that stick out
	Tables int      // that must be scrolled in
	Least  float64  // contrast
	Text   string   // that has it
	Ground float64  // luminance of the page
}

// viewer serves reports to a browser, and hears what it measured.
type viewer struct {
	chromium string
	home     string
	server   *httptest.Server
	mu       sync.Mutex
	heard    map[string]measure
}

func newViewer(t *testing.T, reports map[string][]byte) *viewer {
	v := &viewer{chromium: browser(t), home: t.TempDir(), heard: map[string]measure{}}
	v.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch page, ok := reports[strings.TrimPrefix(r.URL.Path, "/")]; {
		case ok:
			_, _ = w.Write(page)
		case r.URL.Path == "/frame":
			_, _ = io.WriteString(w, frame)
		case r.URL.Path == "/measured":
			var m measure
			if err := json.NewDecoder(r.Body).Decode(&m); err == nil {
				v.mu.Lock()
				v.heard[r.URL.RawQuery] = m
				v.mu.Unlock()
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(v.server.Close)
	return v
}

// run starts the browser for one picture or document.
func (v *viewer) run(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	fixed := []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1", "--no-first-run", "--user-data-dir=" + v.home}
	cmd := exec.CommandContext(ctx, v.chromium, append(fixed, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+v.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run %s: %v\n%s", v.chromium, err, out)
	}
}

// see makes a picture of a report and returns what was measured on it.
func (v *viewer) see(t *testing.T, report string, width int, dark bool, picture string) measure {
	t.Helper()
	query := url.Values{"report": {report}, "width": {fmt.Sprint(width)}, "dark": {fmt.Sprint(dark)}}.Encode()
	// A window is never narrower than some 500 pixels; the frame in it is.
	args := []string{fmt.Sprintf("--window-size=%d,%d", max(500, width), 9000), "--screenshot=" + picture}
	if dark {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	}
	v.run(t, append(args, v.server.URL+"/frame?"+query)...)
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := v.heard[query]
	if !ok {
		t.Fatalf("%s at %d pixels: the page was not measured", report, width)
	}
	return m
}

// hostileZone is a value that a file may hold.
const hostileZone = `<b onclick=alert(1)>nor"th&`

// reports are one of each kind, of uploads with hostile and with very long names.
func reports(t *testing.T) map[string][]byte {
	page := func(p *platform, first bool) []byte {
		prepared := p.prepare()
		if !first {
			p.before = prepared
		}
		if m := p.message(prepared); m["ok"] != true {
			t.Fatalf("prepare says %v", m)
		}
		trained, _ := p.train(prepared)
		model, champion := p.tarOf(trained), []byte(nil)
		if !first {
			champion = model
		}
		base, _ := p.evaluate(prepared, model, champion)
		return p.read(base, "processing", "output", "evaluation", "report.html")
	}
	rename := func(p *platform) *platform {
		p.files = map[string][]byte{}
		for i, key := range []string{"trips/raw/jan.csv", "trips/raw/feb.csv"} {
			raw := bytes.ReplaceAll(tripRows(time.Month(i+1), 3000), []byte("north"), []byte(`"<b onclick=alert(1)>nor""th&"`))
			p.files[key] = bytes.ReplaceAll(raw, []byte("south"), bytes.Repeat([]byte("Llanfairpwllgwyngyll"), 5))
		}
		p.def.Quality[1].OneOf = nil
		p.def.Quality[1].Type = "text"
		p.def.Quality[0].Range = &[2]float64{0, 50}
		p.def.Quality[0].Severity = "warn"
		return p
	}
	yes := rename(newPlatform(t, trips(), nil))
	leak := rename(newPlatform(t, trips(), nil))
	leak.files["trips/raw/jan.csv"] = withColumn(t, leak.files["trips/raw/jan.csv"], "after", func(_ int, cell func(string) string) string { return cell("delay") })
	leak.files["trips/raw/feb.csv"] = withColumn(t, leak.files["trips/raw/feb.csv"], "after", func(_ int, cell func(string) string) string { return cell("delay") })
	leak.def.Features = append(leak.def.Features, definition.Feature{Name: "a_feature_with_a_name_as_long_as_names_of_features_may_ever_be", Expr: "after"})
	number := newPlatform(t, trips(), tripFiles())
	number.def.Data.Label = definition.Label{Name: "delay"}
	number.def.Evaluate = definition.Evaluate{Metric: "rmse", AtMost: new(6.0), Confidence: 0.9, Slices: []string{"zone"}}
	several := newPlatform(t, zones(definition.Label{Name: "zone", Classes: []string{"south", "east", "north"}}), tripFiles())
	data := rename(newPlatform(t, trips(), nil))
	return map[string][]byte{
		"yes-or-no": page(yes, false), "leak": page(leak, true), "number": page(number, false), "classes": page(several, true),
		"data": data.read(data.prepare(), "processing", "output", "quality", "report.html"),
	}
}

// Every kind of report can be read on a phone and on a screen, in the light and in
// the dark, and printed. `go test -artifacts -outputdir DIR` keeps the pictures.
func TestReportsInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser(t)
	pages := reports(t)
	v := newViewer(t, pages)
	dir := t.ArtifactDir()
	for name, page := range pages {
		if name != "number" && name != "classes" && !bytes.Contains(page, []byte("&lt;b onclick=alert(1)&gt;nor&#34;th&amp;")) || bytes.Contains(page, []byte(hostileZone)) {
			t.Errorf("%s: a hostile name is not there, or as it is", name)
		}
		for _, look := range []struct {
			name  string
			width int
			dark  bool
		}{{"phone", 390, false}, {"narrow-dark", 320, true}, {"screen", 1100, false}, {"screen-dark", 1100, true}} {
			if look.name != "phone" && name != "yes-or-no" {
				continue // a start of the browser takes a second
			}
			m := v.see(t, name, look.width, look.dark, filepath.Join(dir, name+"-"+look.name+".png"))
			if m.Scroll > 0 || len(m.Wide) > 0 {
				t.Errorf("%s, %s: %d pixels to scroll sideways, %q stick out", name, look.name, m.Scroll, m.Wide)
			}
			if look.width > 1000 && m.Tables > 0 {
				t.Errorf("%s, %s: %d tables do not fit", name, look.name, m.Tables)
			}
			if m.Least < 4.5 {
				t.Errorf("%s, %s: a contrast of %.2f: %s", name, look.name, m.Least, m.Text)
			}
			if dark := m.Ground < 0.2; dark != look.dark {
				t.Errorf("%s, %s: the page has a luminance of %.2f", name, look.name, m.Ground)
			}
		}
	}
	paper := filepath.Join(dir, "yes-or-no.pdf")
	v.run(t, "--no-pdf-header-footer", "--print-to-pdf="+paper, v.server.URL+"/yes-or-no")
	raw, err := os.ReadFile(paper)
	if err != nil || !bytes.HasPrefix(raw, []byte("%PDF-")) || bytes.Count(raw, []byte("/Type /Page\n")) < 2 {
		t.Errorf("on paper: %v, %d bytes", err, len(raw))
	}
}
