"""What an annotator's hand needs: each tool says which voxels become what."""
