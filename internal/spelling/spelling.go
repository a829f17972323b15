// Package spelling finds what somebody may have meant who typed a name that
// does not exist.
package spelling

// longest is the longest word that is compared: names are shorter, and what
// people send may be of any length.
const longest = 200

// Distance is how many letters have to be put in, taken out, changed or swapped
// with the next one to make one word of the other (the restricted distance of
// Damerau and Levenshtein). A word of over 200 letters is that far from all.
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > longest || len(y) > longest {
		return max(len(x), len(y))
	}
	var before, last []int // the two rows above
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, last, row = last, row, make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := last[j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(y)]
}
