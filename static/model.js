// The page `model`.

import "./api.js";
