package s3

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// checkSum holds the checksum that a completion names of a part to the part's
// own: of checksums of checksums each must be named, and where none was chosen
// for the upload AWS knows none of a part.
func (u *upload) checkSum(asked types.CompletedPart, p part) error {
	invalid := s3err.GetInvalidPartErr(u.ID, *asked.PartNumber, strings.Trim(*asked.ETag, `"`))
	switch algorithm, sum := givenChecksum(asked); {
	case algorithm == "" && u.Checksum.Type == string(types.ChecksumTypeComposite):
		return s3err.APIError{Code: "InvalidRequest", HTTPStatusCode: http.StatusBadRequest, Description: fmt.Sprintf("The upload was created using a %s checksum. "+
			"The complete request must include the checksum for each part. It was missing for part %d in the request.", strings.ToLower(u.Checksum.Algorithm), *asked.PartNumber)}
	case algorithm == "":
		return nil
	case u.Checksum.Algorithm == "":
		return invalid
	case algorithm != p.Checksum.Algorithm:
		return s3err.APIError{Code: "BadDigest", HTTPStatusCode: http.StatusBadRequest,
			Description: fmt.Sprintf("The %s you specified for part %d did not match what we received.", strings.ToLower(algorithm), *asked.PartNumber)}
	case sum != p.Checksum.Value:
		return invalid
	}
	return nil
}

// checksumOf combines the parts' checksums: of the whole object, or of the checksums.
func (u *upload) checksumOf(parts []part) (checksum, error) {
	if u.Checksum.Type == string(types.ChecksumTypeComposite) {
		c, err := utils.NewCompositeChecksumReader(hashType(u.Checksum.Algorithm))
		if err != nil {
			return checksum{}, fmt.Errorf("combine checksums: %w", err)
		}
		for _, p := range parts {
			if err := c.Process(p.Checksum.Value); err != nil {
				return checksum{}, fmt.Errorf("combine checksums: %w", err)
			}
		}
		return checksum{Algorithm: u.Checksum.Algorithm, Type: u.Checksum.Type, Value: fmt.Sprintf("%s-%d", c.Sum(), len(parts))}, nil
	}
	out := checksum{Algorithm: crc64, Type: string(types.ChecksumTypeFullObject)}
	if u.Checksum.Type != "" {
		out.Algorithm = u.Checksum.Algorithm
	}
	for i, p := range parts {
		value := p.Checksum.Value
		if out.Algorithm == crc64 {
			value = p.CRC64
		}
		if i == 0 {
			out.Value = value
			continue
		}
		var err error
		if out.Value, err = utils.AddCRCChecksum(types.ChecksumAlgorithm(out.Algorithm), out.Value, value, p.Segment.Size); err != nil {
			return checksum{}, fmt.Errorf("combine checksums: %w", err)
		}
	}
	return out, nil
}
