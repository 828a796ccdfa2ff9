// Keeps the facts of the page new while somebody looks at it. Without it, the page is right when it is loaded.
"use strict";
const pause = 2000; // milliseconds
let tag = "";

// A screen reader says what is set there each time that it is set.
function say(trouble) {
  const alert = document.getElementById("trouble");
  if (alert.textContent !== trouble) {
    alert.textContent = trouble;
  }
}

async function look() {
  const live = document.getElementById("live");
  // Whoever goes through the page by keyboard keeps the place.
  if (!document.hidden && !live.contains(document.activeElement)) {
    try {
      const part = await fetch("/?view=live", { headers: { Accept: "text/html", "If-None-Match": tag } });
      if (part.status === 200) {
        const fresh = new DOMParser().parseFromString(await part.text(), "text/html").body;
        if (!live.contains(document.activeElement)) {
          live.replaceChildren(...fresh.childNodes);
          say(document.getElementById("trouble-now").textContent);
          tag = part.headers.get("ETag") || "";
        }
      }
    } catch {
      // The cache does not answer at the moment: the next look may find it.
    }
  }
  setTimeout(look, pause);
}

setTimeout(look, pause);
